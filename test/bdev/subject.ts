import type { BdevDescription } from '@spdk-ts/bdev';
import type { BdevCall, Bench } from './bench.ts';
import type { Area, Promises } from './harness.ts';

/** A bdev under test: how it is made, and what is promised of it. */
export interface Subject {
  readonly title: string;
  readonly kind: SubjectKind;
  /** The calls that make it, and what it lies on, in order. */
  readonly calls: readonly BdevCall[];
  /** Its name; without it, what the last call answers. */
  readonly bdev?: string | undefined;
  readonly promises: Promises;
  /** It is open with hidden metadata: as a bdev that has none. */
  readonly hides_metadata?: boolean;
  /** The reactors have io_uring rings. */
  readonly uring: boolean;
  /** Makes what it lies on anew, if that is not in the process; before the calls. */
  readonly prepare?: ((bench: Bench) => Promise<void>) | undefined;
  /** Its module keeps something on each reactor for good, once it was used there. */
  readonly keeps_on_reactors?: boolean;
  /** Changes its size to `bytes`; absent: it cannot be resized. */
  readonly resize?: ((bench: Bench, name: string, bytes: number) => Promise<void>) | undefined;
}

/** Most of a bdev that is written to at its beginning, and at its end, bytes. */
const AREA_BYTES = 2 * 1024 * 1024;

/** The parts of a bdev that are tested: all of it, or the beginning and the end. */
export function areas({ num_blocks, block_size }: BdevDescription): Area[] {
  const most = Math.max(64, Math.floor(AREA_BYTES / block_size));
  if (num_blocks <= 2 * most) return [{ first: 0, count: num_blocks }];
  return [
    { first: 0, count: most },
    { first: num_blocks - most, count: most },
  ];
}

/** Blocks that every write must be a multiple of, at a multiple of. */
export function writeUnit(description: BdevDescription): number {
  const { write_unit_size } = description as { write_unit_size?: number };
  return write_unit_size || 1;
}

/**
 * Lengths in blocks that lie around every limit that there is: those of the layer's buffers, and whatever the
 * description names as optimal, preferred or most, in blocks or in bytes.
 */
export function lengths(bench: Bench, description: BdevDescription, most: number): number[] {
  const { block_size } = description;
  const unit = writeUnit(description);
  const { small_bytes, large_bytes } = bench.reactor(0).buffers.options;
  const limits = [1, 2, 8];
  for (const bytes of [4096, small_bytes, large_bytes, 256 * 1024, 1024 * 1024])
    limits.push(Math.floor(bytes / block_size));
  for (const [field, value] of Object.entries(description))
    if (/^(max|optimal|preferred|write_unit|acwu)/.test(field) && typeof value === 'number')
      limits.push(value, Math.floor(value / block_size), 2 * value + 1);
  const around = limits.flatMap((limit) => [limit - 1, limit, limit + 1]);
  const whole = [...around, most].map((blocks) => Math.max(1, Math.floor(blocks / unit)) * unit);
  return [...new Set(whole)].filter((blocks) => blocks > 0 && blocks <= most).sort((a, b) => a - b);
}

/** Checks what a caller gave as JSON: one call, or a list; an entry may name the bdev under test. */
export function parseCalls(json: string): Pick<Subject, 'calls' | 'bdev'> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (error) {
    throw new Error(`--bdev is no JSON: ${(error as Error).message}`);
  }
  const list = (Array.isArray(parsed) ? parsed : [parsed]) as (Partial<BdevCall> & { bdev?: unknown })[];
  const calls: BdevCall[] = [];
  let bdev: string | undefined;
  for (const entry of list) {
    if (typeof entry?.bdev === 'string') bdev = entry.bdev;
    else if (typeof entry?.method !== 'string')
      throw new Error(
        `--bdev: ${JSON.stringify(entry)} is no call; give {"method": "bdev_…_create", "params": {…}}, one or a list, ` +
          'and {"bdev": "name"} in the list if the last call does not make the bdev under test',
      );
    if (typeof entry.method === 'string')
      calls.push({ method: entry.method, ...(entry.params !== undefined && { params: entry.params }) });
  }
  if (calls.length === 0) throw new Error('--bdev names no call');
  return { calls, bdev };
}

/** Resizing through `bdev_X_resize`, in MiB, where the module of the last call has it. */
export function resizeBy(method: string): Subject['resize'] {
  return async (bench, name, bytes) => {
    await bench.call(method, { name, new_size: bytes / (1024 * 1024) });
  };
}

/** What a bdev is: blocks at random, zones that are written in order, or keys with values. */
export type SubjectKind = 'blocks' | 'zones' | 'keys';

/** What the last of some calls makes, as far as its parameters tell. */
export function kindOf(calls: readonly BdevCall[]): SubjectKind {
  if (calls.some(({ method }) => /_?kv_create$/.test(method))) return 'keys';
  const zoned = ({ method, params }: BdevCall): boolean =>
    method === 'bdev_zone_block_create' || Number(params?.['zone_size'] ?? 0) > 0;
  return calls.some(zoned) ? 'zones' : 'blocks';
}

const base = (params: Record<string, unknown>, name: string) => String(params[name]);

/** What undoes calls whose method does not end in `_create`. */
const undoneBy: Record<string, string> = {
  bdev_nvme_attach_controller: 'bdev_nvme_detach_controller',
};

/** What else a module's bdevs are taken away by than their name. */
const deletedBy: Record<string, (params: Record<string, unknown>) => Record<string, unknown>> = {
  bdev_split_create: (params) => ({ base_bdev: base(params, 'base_bdev') }),
  bdev_error_create: (params) => ({ name: `EE_${base(params, 'base_name')}` }),
};

/** The call that takes away what a call has made: `bdev_X_delete` for `bdev_X_create`. */
export function deletion({ method, params = {} }: BdevCall): BdevCall {
  const by = deletedBy[method]?.(params) ?? { name: params['name'] };
  const undone = undoneBy[method] ?? method.replace('malloc_kv', 'malloc').replace(/_create$/, '_delete');
  return { method: undone, params: by };
}
