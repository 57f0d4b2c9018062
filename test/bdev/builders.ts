import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Random } from '@spdk-ts/env';
import { Image } from '../../packages/bdev-modules/gpt/test/image.ts';
import type { BdevCall, Bench } from './bench.ts';
import { kindOf, resizeBy, type Subject } from './subject.ts';

const MIB = 1024 * 1024;
const ramDisk = fileURLToPath(new URL('../../examples/script-bdev/ram-disk.mjs', import.meta.url));

/** How a module is tested: bdevs of different kinds, each by the call that makes it. */
interface Builder {
  readonly method: string;
  /** Of the bdevs' names, where the module has several builders. */
  readonly suffix?: string;
  /** Parameters beside the name, for each kind. */
  readonly kinds: readonly Record<string, unknown>[];
  /** Bytes of the file that it needs, if any: the parameter `filename`. */
  readonly file?: number;
  /** What is in that file; else zeroes. */
  readonly content?: () => Uint8Array;
  /** The bdev that is tested, where examination makes one of that which the call makes. */
  readonly found?: (name: string) => string;
  readonly resize?: (filename: string) => Subject['resize'];
  /** It forgets what is written. */
  readonly forgets?: boolean;
  /** It is tested once more with hidden metadata. */
  readonly hides?: boolean;
  /** It goes through the page cache, which locks writes from each other only, not from reads. */
  readonly mixes?: boolean;
  /** On reactors without rings, and with them. */
  readonly uring: readonly boolean[];
}

const rescan =
  (method: string) =>
  (filename: string): Subject['resize'] =>
  async (bench: Bench, name: string, bytes: number) => {
    truncateSync(filename, bytes);
    await bench.call(method, { name });
  };

/** SPDK's partition type: gpt makes bdevs of those. */
const PARTITION = '7C5222BD-8F5D-4087-9C00-BF9843C7B58C';

/** A disk with a partition that begins and ends at no round number. */
function partitioned(): Uint8Array {
  const unique = '12345678-9ABC-4DEF-8123-456789ABCDEF';
  const num_blocks = (3 * MIB) / 512;
  return new Image({
    num_blocks,
    partitions: [{ type: PARTITION, unique, first: 77, last: num_blocks - 100 }],
  }).bytes;
}

/** Modules whose bdevs lie on nothing else. */
export const bases: readonly Builder[] = [
  {
    method: 'bdev_malloc_create',
    kinds: [
      { block_size: 512, num_blocks: 6001 },
      { block_size: 4096, num_blocks: 750, optimal_io_boundary: 24 },
      { block_size: 65_536, num_blocks: 50 },
    ],
    resize: () => resizeBy('bdev_malloc_resize'),
    uring: [false],
  },
  {
    method: 'bdev_malloc_create',
    suffix: 'md',
    kinds: [
      // Metadata, then protection information of each type and format, in both places.
      { block_size: 512, num_blocks: 3000, md_size: 8, md_interleave: true },
      { block_size: 512, num_blocks: 3000, md_size: 16, md_interleave: false },
      { block_size: 512, num_blocks: 3000, md_size: 8, md_interleave: true, dif_type: 1 },
      { block_size: 4096, num_blocks: 700, md_size: 64, md_interleave: false, dif_type: 1 },
      {
        ...{ block_size: 4096, num_blocks: 700, md_size: 16, md_interleave: true, dif_type: 2 },
        ...{ dif_pi_format: 2, dif_is_head_of_md: true },
      },
      { block_size: 4096, num_blocks: 700, md_size: 16, md_interleave: false, dif_type: 3, dif_pi_format: 1 },
    ],
    hides: true,
    uring: [false],
  },
  {
    method: 'bdev_malloc_create',
    suffix: 'zoned',
    kinds: [
      { block_size: 512, num_blocks: 256, zone_size: 32, zone_capacity: 24 },
      { block_size: 4096, num_blocks: 128, zone_size: 16, max_open_zones: 8, max_active_zones: 8 },
    ],
    uring: [false],
  },
  {
    method: 'bdev_malloc_kv_create',
    kinds: [{ block_size: 512, num_blocks: 4096, max_value_len: 65_536, max_key_len: 16 }],
    uring: [false],
  },
  {
    method: 'bdev_null_create',
    kinds: [
      { block_size: 512, num_blocks: 8192 },
      { block_size: 4096, num_blocks: 2 ** 40 },
    ],
    resize: () => resizeBy('bdev_null_resize'),
    forgets: true,
    uring: [false],
  },
  {
    method: 'bdev_null_create',
    suffix: 'md',
    kinds: [{ block_size: 512, num_blocks: 8192, md_size: 8 }],
    forgets: true,
    uring: [false],
  },
  {
    method: 'bdev_null_create',
    suffix: 'zoned',
    kinds: [{ block_size: 512, num_blocks: 256, zone_size: 32, zone_capacity: 24 }],
    forgets: true,
    uring: [false],
  },
  {
    method: 'bdev_file_create',
    kinds: [{ block_size: 512 }, { block_size: 4096 }],
    file: 3 * MIB,
    resize: () => resizeBy('bdev_file_resize'),
    mixes: true,
    uring: [false, true],
  },
  {
    method: 'bdev_file_create',
    suffix: 'gpt',
    kinds: [{ block_size: 512 }],
    file: 3 * MIB,
    content: partitioned,
    found: (name) => `${name}p1`,
    mixes: true,
    uring: [false, true],
  },
  {
    method: 'bdev_uring_create',
    kinds: [{ block_size: 512 }, { block_size: 4096 }, { block_size: 512, sq_poll: true }],
    file: 3 * MIB,
    resize: rescan('bdev_uring_rescan'),
    uring: [true],
  },
  {
    method: 'bdev_aio_create',
    kinds: [{ block_size: 512, fallocate: true }, { block_size: 4096 }],
    file: 3 * MIB,
    resize: rescan('bdev_aio_rescan'),
    uring: [false, true],
  },
  {
    method: 'bdev_xnvme_create',
    kinds: [
      { io_mechanism: 'io_uring' },
      { io_mechanism: 'io_uring', conserve_cpu: true, block_size: 4096 },
      { io_mechanism: 'libaio', conserve_cpu: true },
    ],
    file: 3 * MIB,
    uring: [true],
  },
  {
    method: 'bdev_xnvme_create',
    kinds: [{ io_mechanism: 'libaio', block_size: 4096 }],
    file: 3 * MIB,
    uring: [false],
  },
  {
    method: 'bdev_script_create',
    kinds: [{ path: ramDisk, block_size: 512, num_blocks: 6000, watch: false }],
    uring: [false],
  },
];

/** The bdevs that a module is tested with. */
export function subjectsOf(builder: Builder, folder: string): Subject[] {
  const { method, kinds, file, resize, forgets = false, mixes = false, uring } = builder;
  return uring.flatMap((ring) =>
    kinds.flatMap((kind, index) => {
      const name = `${method.replace(/^bdev_|_create$/g, '')}${builder.suffix ?? ''}${index}`;
      const filename = join(folder, `${name}-${ring ? 'ring' : 'portable'}`);
      if (file !== undefined) writeFileSync(filename, builder.content?.() ?? Buffer.alloc(file));
      const params = { name, ...(file !== undefined && { filename }), ...kind };
      const found = builder.found?.(name);
      const calls = [{ method, params }];
      const subject: Subject = {
        title: `${method.replace(/^bdev_|_create$/g, '')} ${JSON.stringify(kind)}, ${ring ? 'with' : 'without'} rings`,
        kind: kindOf(calls),
        calls,
        ...(found !== undefined && { title: `${found} on ${name}`, bdev: found }),
        promises: { data: !forgets, unmapped: 'zeroes', mixes },
        resize: resize?.(filename),
        uring: ring,
      };
      if (builder.hides !== true) return [subject];
      return [subject, { ...subject, title: `${subject.title}, hidden metadata`, hides_metadata: true }];
    }),
  );
}

/** A module whose bdevs lie on others: the call that puts one on `base`, and its name. */
interface Layer {
  readonly method: string;
  put(base: string, name: string, random: Random): { calls: BdevCall[]; bdev: string };
}

const onto = (method: string, base_param: string, more: (random: Random) => object = () => ({})): Layer => ({
  method,
  put: (base, name, random) => ({
    calls: [{ method, params: { [base_param]: base, name, ...more(random) } }],
    bdev: name,
  }),
});

/** Modules that stacks are made of, where they are there. */
export const layers: readonly Layer[] = [
  onto('bdev_passthru_create', 'base_bdev_name'),
  onto('bdev_delay_create', 'base_bdev_name', (random) => ({
    avg_read_latency: random.below(200),
    p99_read_latency: 200 + random.below(1000),
    avg_write_latency: random.below(200),
    p99_write_latency: 200 + random.below(1000),
  })),
  {
    method: 'bdev_split_create',
    put: (base, _name, random) => ({
      calls: [{ method: 'bdev_split_create', params: { base_bdev: base, split_count: 1 + random.below(2) } }],
      bdev: `${base}p0`,
    }),
  },
  {
    method: 'bdev_error_create',
    put: (base) => ({
      calls: [{ method: 'bdev_error_create', params: { base_name: base } }],
      bdev: `EE_${base}`,
    }),
  },
];

/** What makes something else of blocks: the top of a stack of its own, or the bottom of one of zones. */
export const makers: readonly Layer[] = [
  onto('bdev_zone_block_create', 'base_bdev', () => ({
    zone_capacity: 24,
    optimal_open_zones: 1,
    format: true,
  })),
  // Values as long as what is left below splits is good for: the whole of a base, 8192 bytes.
  onto('bdev_kv_create', 'base_bdev_name', () => ({ format: true })),
];

const nameOf = ({ calls, bdev }: Subject): string => bdev ?? String(calls.at(-1)!.params!['name']);

function putOn(base: Subject, layer: Layer, name: string, random: Random): Subject {
  const { calls: more, bdev } = layer.put(nameOf(base), name, random);
  const calls = [...base.calls, ...more];
  const { promises, uring, hides_metadata = false, prepare, keeps_on_reactors = false } = base;
  const made = kindOf(more);
  return {
    title: `${layer.method.replace(/^bdev_|_create$/g, '')} on ${base.title}`,
    ...{ kind: made === 'blocks' ? base.kind : made, calls, bdev, promises, uring, hides_metadata, prepare },
    keeps_on_reactors,
  };
}

/** True if a layer's bdevs can lie on such a one: a part of zones, and anything on keys, cannot. */
const fits = (layer: Layer, base: Subject): boolean =>
  base.kind === 'blocks' || (base.kind === 'zones' && layer.method !== 'bdev_split_create');

/** A stack of `height` layers on a base, all at random. */
export function stack(base: Subject, among: readonly Layer[], height: number, random: Random): Subject {
  let top = base;
  for (let i = 0; i < height; i++) {
    const able = among.filter((layer) => fits(layer, top));
    if (able.length === 0) break;
    // What it lies on may be a stack itself.
    top = putOn(top, able[random.below(able.length)]!, `layer${top.calls.length}`, random);
  }
  return top;
}

/** Each layer alone on a base, and each maker on it, with nothing between and with layers at random below it. */
export function stacksOf(
  base: Subject,
  { among, making }: { among: readonly Layer[]; making: readonly Layer[] },
  between: number,
  random: Random,
): Subject[] {
  const alone = among
    .filter((layer) => fits(layer, base))
    .map((layer) => putOn(base, layer, 'layer', random));
  const made = making.flatMap((layer) => [
    putOn(base, layer, 'made', random),
    putOn(stack(base, among, 1 + random.below(between), random), layer, 'made', random),
  ]);
  return [...alone, ...made];
}
