import { randomBytes } from 'node:crypto';
import {
  type BdevDescription,
  type BdevDescriptor,
  BdevError,
  type BdevRegistry,
  checkNumber,
  Errno,
  IoType,
  ioTypeMask,
  KV_KEY_BYTES_MAX,
  KV_TYPES,
  uuidOf,
} from '@spdk-ts/bdev';
import { INDEX_KEYS_MAX } from '@spdk-ts/kv';
import type { LogContext } from './context.ts';
import { decodeSuper, encodeSuper, type LogFormat, recordBytes, SALT_BYTES, SUPER_BYTES } from './layout.ts';
import { allocateShared, capacityOf, LogState } from './log-state.ts';

const MODULE = 'kv';
const TYPES = KV_TYPES | ioTypeMask(IoType.FLUSH);
const NEEDED = ioTypeMask(IoType.READ, IoType.WRITE);
const UNIT_MIN = 512;
const SEGMENT_BYTES_MIN = 16 * 1024;
const SEGMENTS_MIN = 16;
const SEGMENTS_WANTED = 64;
/** Records that a segment has room for, however long they are. */
const RECORDS_MIN = 8;
const VALUE_BYTES_DEFAULT = 1024 * 1024;
const VALUE_BYTES_MAX = 4 * 1024 * 1024;
const SEGMENT_BYTES_DEFAULT_MAX = 4 * 1024 * 1024;
/** The reactor that formats and loads. */
const LOADER = 0;

const limits = ['max_key_len', 'max_value_len', 'max_num_keys'] as const;

export interface CreateParams {
  readonly name: string;
  readonly base_bdev_name: string;
  readonly format?: boolean;
  readonly max_key_len?: number;
  readonly max_value_len?: number;
  readonly max_num_keys?: number;
  readonly uuid?: string;
}

/** A new log's shape for a base and what was asked for. Throws BdevError EINVAL. */
function newFormat(base: BdevDescription, params: CreateParams): LogFormat {
  const unit = Math.max(UNIT_MIN, base.block_size);
  const room = base.block_size * base.num_blocks - SUPER_BYTES;
  const max_key_len = params.max_key_len ?? KV_KEY_BYTES_MAX;
  checkNumber('max_key_len', max_key_len, 1, KV_KEY_BYTES_MAX);
  const affordable = 2 ** Math.floor(Math.log2(Math.max(1, room / 256)));
  const max_value_len = params.max_value_len ?? Math.min(VALUE_BYTES_DEFAULT, affordable);
  checkNumber('max_value_len', max_value_len, 1, VALUE_BYTES_MAX);
  const least = Math.max(SEGMENT_BYTES_MIN, RECORDS_MIN * recordBytes(unit, max_value_len));
  const wanted = Math.min(SEGMENT_BYTES_DEFAULT_MAX, Math.floor(room / SEGMENTS_WANTED));
  const segment_bytes = Math.ceil(Math.max(least, wanted) / unit) * unit;
  const segments = Math.floor(room / segment_bytes);
  if (segments < SEGMENTS_MIN)
    throw new BdevError(
      Errno.EINVAL,
      `base bdev ${base.name} has ${base.block_size * base.num_blocks} bytes, too few for values of ${max_value_len} ` +
        `bytes; give it ${SUPER_BYTES + SEGMENTS_MIN * segment_bytes} or more, or a smaller max_value_len`,
    );
  const shape = { unit, segment_bytes, segments, max_key_len, max_value_len };
  const records = Math.floor(capacityOf({ ...shape, max_num_keys: 1, salt: new Uint8Array(0) }) / unit);
  const max_num_keys = params.max_num_keys ?? Math.min(records, INDEX_KEYS_MAX / 2);
  checkNumber('max_num_keys', max_num_keys, 1, INDEX_KEYS_MAX / 2);
  return { ...shape, max_num_keys, salt: new Uint8Array(randomBytes(SALT_BYTES)) };
}

/** A log that is there must be what was asked for, and fit. */
function checkKnown(format: LogFormat, base: BdevDescription, params: CreateParams): void {
  for (const key of limits)
    if (params[key] !== undefined && params[key] !== format[key])
      throw new BdevError(
        Errno.EINVAL,
        `${key} is ${params[key]}, but the log on bdev ${base.name} was made with ${format[key]}; leave it out, or ` +
          'make a new log with format (its data are lost)',
      );
  const bytes = base.block_size * base.num_blocks;
  const needed = SUPER_BYTES + format.segments * format.segment_bytes;
  if (bytes < needed || format.unit % base.block_size !== 0)
    throw new BdevError(
      Errno.EINVAL,
      `the log on bdev ${base.name} needs ${needed} bytes in blocks that divide ${format.unit}, but the bdev has ` +
        `${bytes} bytes in blocks of ${base.block_size}`,
    );
}

/** Key-value bdevs that keep a log on another bdev: docs/bdev-kv.md. */
export class KvModule {
  readonly name = MODULE;
  private readonly bdevs: BdevRegistry;
  private readonly bases = new Map<string, BdevDescriptor>();

  constructor(bdevs: BdevRegistry) {
    this.bdevs = bdevs;
  }

  async create(params: CreateParams): Promise<BdevDescription> {
    const { name, base_bdev_name } = params;
    if (this.bdevs.get(name) !== undefined)
      throw new BdevError(Errno.EEXIST, `there is a bdev called "${name}" already; choose another name`);
    const owner = {
      name: `kv bdev ${name}`,
      onEvent: (event: 'remove' | 'resize') => void (event === 'remove' && this.baseGoes(name)),
    };
    const base = this.bdevs.open(base_bdev_name, { write: false, owner });
    try {
      base.claim('exclusive_write', { module: MODULE });
      const description = await this.register(params, base.description);
      this.bases.set(description.name, base);
      return description;
    } catch (error) {
      await base.close();
      throw error;
    }
  }

  private async register(params: CreateParams, base: BdevDescription): Promise<BdevDescription> {
    if (base.kv !== null || base.md_size > 0 || (base.io_types & NEEDED) !== NEEDED)
      throw new BdevError(
        Errno.EINVAL,
        `base_bdev_name is "${base.name}", a ${base.product_name}: a log needs a bdev of blocks without metadata that ` +
          'can be read and written',
      );
    if (SUPER_BYTES % base.block_size !== 0)
      throw new BdevError(
        Errno.EINVAL,
        `base bdev ${base.name} has blocks of ${base.block_size} bytes; a log needs ${SUPER_BYTES} at most`,
      );
    const format = await this.loadOrMake(params, base);
    const shared = allocateShared(format);
    await this.ask(base, 'recover', { base_id: base.id, format, shared });
    const { unit, max_key_len, max_value_len, max_num_keys } = format;
    const capacity = capacityOf(format);
    const context: LogContext = { base_id: base.id, base_name: base.name, format, shared };
    return await this.bdevs.register(MODULE, {
      ...{ name: params.name, product_name: 'KV log', uuid: params.uuid ?? uuidOf(`kv ${base.uuid}`) },
      ...{ block_size: unit, num_blocks: capacity / unit, io_types: TYPES, context },
      kv: { max_key_len, max_value_len, max_num_keys, capacity },
    });
  }

  private async loadOrMake(params: CreateParams, base: BdevDescription): Promise<LogFormat> {
    const found = decodeSuper((await this.ask(base, 'probe', { base_id: base.id })) as Uint8Array);
    if (params.format !== true) {
      if (found === 'foreign')
        throw new BdevError(
          Errno.EINVAL,
          `base bdev ${base.name} holds something else, or a damaged log; set format to true to destroy it`,
        );
      if (found !== 'blank') {
        checkKnown(found, base, params);
        return found;
      }
    }
    const format = newFormat(base, params);
    await this.ask(base, 'format', { base_id: base.id, superblock: encodeSuper(format), format });
    return format;
  }

  private async ask(base: BdevDescription, method: string, request: unknown): Promise<unknown> {
    try {
      return await this.bdevs.host.call(LOADER, 'bdev_kv', method, request);
    } catch (error) {
      throw new BdevError(Errno.EIO, `base bdev ${base.name}: ${(error as Error).message}`);
    }
  }

  private baseGoes(name: string): void {
    // Who removed the base waits until it is closed; another removal of this one may be under way.
    this.bdevs.unregister(name, MODULE).catch(() => {});
  }

  config({
    name,
    uuid,
    kv,
    context,
  }: BdevDescription): { method: string; params: Record<string, unknown> }[] {
    const { base_name } = context as LogContext;
    const { max_key_len, max_value_len, max_num_keys } = kv!;
    const params = { name, base_bdev_name: base_name, max_key_len, max_value_len, max_num_keys, uuid };
    return [{ method: 'bdev_kv_create', params }];
  }

  info({ context }: BdevDescription): Record<string, unknown> {
    const { base_name, format, shared } = context as LogContext;
    const state = new LogState(format, shared);
    return {
      kv: {
        base_bdev_name: base_name,
        num_keys: state.index.num_keys,
        used_bytes: state.live_bytes,
        segment_bytes: format.segment_bytes,
        segments: format.segments,
        used_segments: state.head - state.tail + 1,
        reclaimed_segments: state.reclaimed,
      },
    };
  }

  async destroy({ name, context }: BdevDescription): Promise<void> {
    const { base_id } = context as LogContext;
    await this.bdevs.host.broadcast('bdev_kv', 'gone', { base_id });
    const base = this.bases.get(name);
    this.bases.delete(name);
    await base?.close();
  }
}
