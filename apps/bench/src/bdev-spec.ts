import { fileURLToPath } from 'node:url';
import { formatSize, parseSize } from './size.ts';

/*
 * Bdevs in one word: `malloc:64M`, `null:1G:4096`, `uring:1G`, `malloc:64M+passthru+delay`, `4*null:1G`.
 * `file`, `aio`, `uring` and `xnvme` lie on a file that the bench makes for the row; with `@memory` behind them,
 * in a file system that is in memory.
 */

export interface RpcCall {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export interface BdevPlan {
  readonly calls: readonly RpcCall[];
  /** The bdevs to put the load on. */
  readonly names: readonly string[];
  /** Memory that the bdevs take in all. */
  readonly memory_bytes: number;
  readonly size: number;
  /** Size of the file below; null: there is none. */
  readonly file_bytes: number | null;
  /** That file is to be in memory. */
  readonly in_memory: boolean;
  /** What is written can be read back. */
  readonly keeps_data: boolean;
}

const kinds = ['malloc', 'null', 'script', 'file', 'aio', 'uring', 'xnvme'] as const;
/** What a script bdev is of: the example of the checkout. */
const ramDisk = fileURLToPath(new URL('../../../examples/script-bdev/ram-disk.mjs', import.meta.url));
const layers = ['passthru', 'delay', 'error', 'split'] as const;
type Kind = (typeof kinds)[number];
type Layer = (typeof layers)[number];
const FORMS =
  'COUNT*KIND:SIZE:BLOCK_SIZE@memory+LAYER, as in malloc:64M, null:1G:4096, 4*null:1G, file:1G@memory or malloc:64M+passthru';

const isKind = (text: string): text is Kind => (kinds as readonly string[]).includes(text);
const isLayer = (text: string): text is Layer => (layers as readonly string[]).includes(text);

/** Plans bdevs. `file`: the path for those that need one. Throws RangeError with what is wrong with the text. */
export function planBdev(spec: string, file: string): BdevPlan {
  const wrong = (what: string): RangeError => new RangeError(`bdev '${spec}': ${what}; say ${FORMS}`);
  const match = /^(?:(\d+)\*)?(\w+):(\w+)(?::(\w+))?(@memory)?((?:\+\w+)*)$/.exec(spec);
  if (match === null) throw wrong('not understood');
  const [, countText, kind, sizeText, blockText, memory, layerText] = match;
  const count = countText === undefined ? 1 : Number(countText);
  const stack = layerText!.split('+').filter(Boolean);
  if (!isKind(kind!)) throw wrong(`there is no kind '${kind}' (${kinds.join(', ')})`);
  const strange = stack.find((layer) => !isLayer(layer));
  if (strange !== undefined) throw wrong(`there is no layer '${strange}' (${layers.join(', ')})`);
  const size = parseSize(sizeText!);
  const block_size = parseSize(blockText ?? 512);
  if (size % block_size !== 0) throw wrong(`${formatSize(size)} is not a multiple of ${block_size}`);
  const on_file = kind !== 'malloc' && kind !== 'null' && kind !== 'script';
  if (memory !== undefined && !on_file) throw wrong('@memory is for bdevs on files');
  if (count < 1 || (on_file && count > 1)) throw wrong('one bdev has the file for itself');
  const calls: RpcCall[] = [];
  const names: string[] = [];
  for (let i = 0; i < count; i++) {
    let name = `${kind[0]!.toUpperCase()}${kind.slice(1)}${i}`;
    calls.push({ method: `bdev_${kind}_create`, params: baseParams(kind, name, size, block_size, file) });
    for (const layer of stack as Layer[]) {
      const made = layerCall(layer, name);
      calls.push(made.call);
      name = made.name;
    }
    names.push(name);
  }
  const memory_bytes = kind === 'malloc' || kind === 'script' ? size * count : 0;
  return {
    ...{ calls, names, memory_bytes, size, file_bytes: on_file ? size : null },
    ...{ in_memory: memory !== undefined, keeps_data: kind !== 'null' },
  };
}

function baseParams(
  kind: Kind,
  name: string,
  size: number,
  block_size: number,
  filename: string,
): RpcCall['params'] {
  switch (kind) {
    case 'malloc':
    case 'null':
      return { name, num_blocks: size / block_size, block_size };
    case 'script':
      return { name, path: ramDisk, num_blocks: size / block_size, block_size, watch: false };
    case 'xnvme':
      return { name, filename, io_mechanism: 'io_uring' };
    default:
      return { name, filename, block_size };
  }
}

function layerCall(layer: Layer, base: string): { readonly call: RpcCall; readonly name: string } {
  const made = (name: string, params: RpcCall['params']) => ({
    name,
    call: { method: `bdev_${layer}_create`, params },
  });
  switch (layer) {
    case 'passthru':
      return made(`${base}P`, { base_bdev_name: base, name: `${base}P` });
    case 'delay': {
      const none = { avg_read_latency: 0, p99_read_latency: 0, avg_write_latency: 0, p99_write_latency: 0 };
      return made(`${base}D`, { base_bdev_name: base, name: `${base}D`, ...none });
    }
    case 'error':
      return made(`EE_${base}`, { base_name: base });
    case 'split':
      return made(`${base}p0`, { base_bdev: base, split_count: 1 });
  }
}
