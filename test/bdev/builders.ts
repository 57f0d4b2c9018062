import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Random } from '@spdk-ts/env';
import type { BdevCall, Bench } from './bench.ts';
import { resizeBy, type Subject } from './subject.ts';

const MIB = 1024 * 1024;
const ramDisk = fileURLToPath(new URL('../../examples/script-bdev/ram-disk.mjs', import.meta.url));

/** How a module is tested: bdevs of different kinds, each by the call that makes it. */
interface Builder {
  readonly method: string;
  /** Parameters beside the name, for each kind. */
  readonly kinds: readonly Record<string, unknown>[];
  /** Bytes of the file that it needs, if any: the parameter `filename`. */
  readonly file?: number;
  readonly resize?: (filename: string) => Subject['resize'];
  /** It forgets what is written. */
  readonly forgets?: boolean;
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
    method: 'bdev_file_create',
    kinds: [{ block_size: 512 }, { block_size: 4096 }],
    file: 3 * MIB,
    resize: () => resizeBy('bdev_file_resize'),
    mixes: true,
    uring: [false, true],
  },
  {
    method: 'bdev_uring_create',
    kinds: [{ block_size: 512 }, { block_size: 4096 }],
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
    kinds.map((kind, index) => {
      const name = `${method.split('_')[1]}${index}`;
      const filename = join(folder, `${name}-${ring ? 'ring' : 'portable'}`);
      if (file !== undefined) writeFileSync(filename, Buffer.alloc(file));
      const params = { name, ...(file !== undefined && { filename }), ...kind };
      return {
        title: `${method.replace(/^bdev_|_create$/g, '')} ${JSON.stringify(kind)}, ${ring ? 'with' : 'without'} rings`,
        calls: [{ method, params }],
        promises: { data: !forgets, unmapped: 'zeroes' as const, mixes },
        resize: resize?.(filename),
        uring: ring,
      };
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

/** A stack of `height` layers on a base, all at random. */
export function stack(base: Subject, among: readonly Layer[], height: number, random: Random): Subject {
  const calls = [...base.calls];
  let bdev = String(base.calls.at(-1)!.params!['name']);
  const names = [base.title];
  for (let i = 0; i < height; i++) {
    const layer = among[random.below(among.length)]!;
    const put = layer.put(bdev, `layer${i}`, random);
    calls.push(...put.calls);
    bdev = put.bdev;
    names.unshift(layer.method.replace(/^bdev_|_create$/g, ''));
  }
  return { title: names.join(' on '), calls, bdev, promises: base.promises, uring: base.uring };
}
