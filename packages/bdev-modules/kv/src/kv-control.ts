import { randomBytes } from 'node:crypto';
import {
  type BdevDescription,
  BdevError,
  type BdevRegistry,
  type BdevSpec,
  checkNumber,
  Errno,
  IoType,
  ioTypeMask,
  KV_KEY_BYTES_MAX,
  KV_TYPES,
  uuidOf,
} from '@spdk-ts/bdev';
import { INDEX_KEYS_MAX } from '@spdk-ts/kv';
import type { StackedContext, StackedKind } from '@spdk-ts/vbdev';
import type { LogContext } from './context.ts';
import { decodeSuper, encodeSuper, type LogFormat, recordBytes, SALT_BYTES, SUPER_BYTES } from './layout.ts';
import { allocateShared, capacityOf, LogState } from './log-state.ts';

const MODULE = 'kv';
const FLAG = 'bdev_kv';
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

/** Asks the reactor that formats and loads. Rejects with BdevError EIO. */
async function ask(bdevs: BdevRegistry, base: BdevDescription, method: string, request: unknown) {
  try {
    return await bdevs.host.call(LOADER, 'bdev_kv', method, request);
  } catch (error) {
    throw new BdevError(Errno.EIO, `base bdev ${base.name}: ${(error as Error).message}`);
  }
}

function checkBase({ name, product_name, md_size, io_types, block_size }: BdevDescription): void {
  if (md_size > 0 || (io_types & NEEDED) !== NEEDED)
    throw new BdevError(
      Errno.EINVAL,
      `base_bdev_name is "${name}", a ${product_name}: a log needs a bdev of blocks without metadata that can be read ` +
        'and written',
    );
  if (SUPER_BYTES % block_size !== 0)
    throw new BdevError(
      Errno.EINVAL,
      `base bdev ${name} has blocks of ${block_size} bytes; a log needs ${SUPER_BYTES} at most`,
    );
}

async function loadOrMake(
  bdevs: BdevRegistry,
  params: CreateParams,
  base: BdevDescription,
  format: boolean,
): Promise<LogFormat> {
  const found = decodeSuper((await ask(bdevs, base, 'probe', { base_id: base.id })) as Uint8Array);
  if (!format) {
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
  const made = newFormat(base, params);
  await ask(bdevs, base, 'format', { base_id: base.id, superblock: encodeSuper(made), format: made });
  return made;
}

/** Key-value bdevs that keep a log on another bdev: docs/bdev-kv.md. `formats`: names of those that are to begin anew. */
export function kindOf(bdevs: BdevRegistry, formats: Set<string>): StackedKind<CreateParams> {
  async function specs(
    params: CreateParams,
    base: BdevDescription,
    common: StackedContext,
  ): Promise<BdevSpec[]> {
    const { name } = params;
    if (bdevs.get(name) !== undefined)
      throw new BdevError(Errno.EEXIST, `there is a bdev called "${name}" already; choose another name`);
    checkBase(base);
    const format = await loadOrMake(bdevs, params, base, formats.delete(name));
    const shared = allocateShared(format);
    await ask(bdevs, base, 'recover', { base_id: base.id, format, shared });
    const { unit, max_key_len, max_value_len, max_num_keys } = format;
    const capacity = capacityOf(format);
    const context: LogContext = { ...common, format, shared };
    return [
      {
        ...{ name, product_name: 'KV log', uuid: params.uuid ?? uuidOf(`kv ${base.uuid}`) },
        ...{ block_size: unit, num_blocks: capacity / unit, io_types: TYPES, context },
        kv: { max_key_len, max_value_len, max_num_keys, capacity },
      },
    ];
  }
  return {
    module: MODULE,
    flag: FLAG,
    // A log is as large as it was made.
    follows_size: false,
    base: ({ base_bdev_name }) => base_bdev_name,
    key: ({ name }) => name,
    specs,
    async gone({ context }) {
      const { base_id } = context as LogContext;
      await bdevs.host.broadcast('bdev_kv', 'gone', { base_id });
    },
    calls: ({ name, base_bdev_name, uuid, ...given }, [part]) => {
      const { max_key_len, max_value_len, max_num_keys } = part?.kv ?? given;
      const base_name = (part?.context as LogContext | undefined)?.base_name ?? base_bdev_name;
      const all = {
        name,
        base_bdev_name: base_name,
        ...{ max_key_len, max_value_len, max_num_keys },
        uuid: part?.uuid ?? uuid,
      };
      const params = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
      return [{ method: 'bdev_kv_create', params }];
    },
    info: ({ context }) => {
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
    },
  };
}
