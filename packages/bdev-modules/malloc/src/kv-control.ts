import { randomInt } from 'node:crypto';
import {
  type BdevDescription,
  BdevError,
  type BdevSpec,
  checkBlockSize,
  checkNumber,
  Errno,
  IoType,
  ioTypeMask,
  KV_KEY_BYTES_MAX,
  KV_TYPES,
  type KvLimits,
} from '@spdk-ts/bdev';
import { allocateIndex, INDEX_KEYS_MAX, KvIndex } from '@spdk-ts/kv';
import type { KvMallocContext, Segment } from './context.ts';

const TYPES = KV_TYPES | ioTypeMask(IoType.FLUSH, IoType.RESET, IoType.ABORT);
const VALUE_BYTES_DEFAULT = 1024 * 1024;
/** Values are copied in one go: more would stall a reactor. */
const VALUE_BYTES_MAX = 16 * 1024 * 1024;
const BLOCKS_MAX = 2 ** 29;
/** The word of the index's user area that counts pages in use: see kv-pages.ts. */
const PAGES_IN_USE = 3;

export interface KvCreateParams {
  readonly name?: string;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly max_key_len?: number;
  readonly max_value_len?: number;
  readonly max_num_keys?: number;
  readonly uuid?: string;
}

/** What a key-value malloc bdev is to be: BdevError EINVAL or ENOMEM if it cannot. Its segments are to be released. */
export function kvSpec(
  name: string,
  params: KvCreateParams,
  allocate: (bytes: number) => Segment[],
): BdevSpec & { readonly context: KvMallocContext } {
  const { block_size, num_blocks, uuid } = params;
  checkBlockSize(block_size);
  checkNumber('num_blocks', num_blocks, 1, BLOCKS_MAX);
  const capacity = block_size * num_blocks;
  const kv: KvLimits = {
    max_key_len: params.max_key_len ?? KV_KEY_BYTES_MAX,
    max_value_len: params.max_value_len ?? Math.min(VALUE_BYTES_DEFAULT, capacity),
    max_num_keys: params.max_num_keys ?? Math.min(num_blocks, INDEX_KEYS_MAX),
    capacity,
  };
  checkNumber('max_key_len', kv.max_key_len, 1, KV_KEY_BYTES_MAX);
  checkNumber('max_value_len', kv.max_value_len, 1, Math.min(VALUE_BYTES_MAX, capacity));
  checkNumber('max_num_keys', kv.max_num_keys, 1, INDEX_KEYS_MAX);
  const context: KvMallocContext = {
    index: indexFor(kv.max_num_keys),
    next: new SharedArrayBuffer(num_blocks * 4),
    seed: randomInt(2 ** 32),
    segments: allocate(capacity),
    md_segments: [],
  };
  return {
    ...{ name, uuid, block_size, num_blocks, kv, context },
    product_name: 'Malloc KV disk',
    io_types: TYPES,
  };
}

function indexFor(max_num_keys: number): SharedArrayBuffer {
  try {
    return allocateIndex(max_num_keys);
  } catch (error) {
    throw new BdevError(
      Errno.ENOMEM,
      `max_num_keys is ${max_num_keys}, whose index does not fit into memory (${(error as Error).message}); give less`,
    );
  }
}

export function kvConfig({ name, block_size, num_blocks, uuid, kv }: BdevDescription): {
  method: string;
  params: Record<string, unknown>;
} {
  const { max_key_len, max_value_len, max_num_keys } = kv!;
  return {
    method: 'bdev_malloc_kv_create',
    params: { name, block_size, num_blocks, max_key_len, max_value_len, max_num_keys, uuid },
  };
}

/** `driver_specific`: how full it is now. */
export function kvInfo(description: BdevDescription): Record<string, unknown> {
  const { index, seed } = description.context as KvMallocContext;
  const keys = new KvIndex(index, description.kv!.max_num_keys, seed);
  const pages = Atomics.load(keys.words, keys.user + PAGES_IN_USE);
  return { kv: { num_keys: keys.num_keys, used_bytes: pages * description.block_size } };
}
