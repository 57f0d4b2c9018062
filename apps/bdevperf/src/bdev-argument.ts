import { formatSize, parseSize } from '@spdk-ts/load';

/**
 * A bdev that the command line asks for: `malloc:64M`, `null:1G:4096`, `file:PATH`, `file:PATH:1G:4096`,
 * `uring:PATH:4096`, `aio:PATH`.
 */
export interface BdevArgument {
  readonly kind: 'malloc' | 'null' | 'file' | 'uring' | 'aio';
  /** Bytes; null for a file that is to stay as it is. */
  readonly size: number | null;
  /** Of those on files. */
  readonly path: string | null;
  readonly block_size: number;
}

const DEFAULT_BLOCK_SIZE = 512;
const BLOCK_SIZE_MAX = 65_536;
const FORMS =
  'malloc:SIZE[:BLOCK_SIZE], null:SIZE[:BLOCK_SIZE], file:PATH[:SIZE][:BLOCK_SIZE], uring:PATH[:BLOCK_SIZE] or ' +
  'aio:PATH[:BLOCK_SIZE]';

function parseBlockSize(text: string, whole: string): number {
  const size = parseSize(text);
  if (size < 512 || size > BLOCK_SIZE_MAX || (size & (size - 1)) !== 0)
    throw new RangeError(`--bdev ${whole}: the block size is a power of two from 512 to 65536, not ${text}`);
  return size;
}

/** A path with up to two sizes behind it. A single one is the block size if it can be one. */
function parseFile(kind: 'file' | 'uring' | 'aio', rest: string, text: string): BdevArgument {
  const match = /^(.+?)(?::(\d+[kmgt]?))?(?::(\d+[kmgt]?))?$/i.exec(rest)!;
  const [, path, first, second] = match as unknown as [string, string, string?, string?];
  const single_is_block = second === undefined && first !== undefined && parseSize(first) <= BLOCK_SIZE_MAX;
  const blockText = second ?? (single_is_block ? first : undefined);
  const sizeText = single_is_block ? undefined : first;
  if (sizeText !== undefined && kind !== 'file')
    throw new RangeError(`--bdev ${text}: ${kind} takes a file as it is, without a size; say ${FORMS}`);
  return {
    ...{ kind, path },
    size: sizeText === undefined ? null : parseSize(sizeText),
    block_size: blockText === undefined ? DEFAULT_BLOCK_SIZE : parseBlockSize(blockText, text),
  };
}

/** Throws RangeError with what is wrong with the text. */
export function parseBdevArgument(text: string): BdevArgument {
  const match = /^(malloc|null|file|uring|aio):(.+)$/.exec(text);
  if (match === null) throw new RangeError(`--bdev ${text}: say ${FORMS}`);
  const kind = match[1] as BdevArgument['kind'];
  const rest = match[2]!;
  if (kind === 'file' || kind === 'uring' || kind === 'aio') return parseFile(kind, rest, text);
  const [sizeText, blockText, ...more] = rest.split(':');
  if (more.length > 0) throw new RangeError(`--bdev ${text}: say ${FORMS}`);
  const block_size = blockText === undefined ? DEFAULT_BLOCK_SIZE : parseBlockSize(blockText, text);
  let size: number;
  try {
    size = parseSize(sizeText!);
  } catch (error) {
    throw new RangeError(`--bdev ${text}: ${(error as Error).message}`);
  }
  if (size % block_size !== 0)
    throw new RangeError(
      `--bdev ${text}: ${formatSize(size)} is not a multiple of the block size ${block_size}`,
    );
  return { kind, size, path: null, block_size };
}

/** The RPC call that makes the bdev. */
export function createCall(
  argument: BdevArgument,
  name: string,
): {
  method: `bdev_${BdevArgument['kind']}_create`;
  params: Record<string, unknown>;
} {
  const { kind, size, path, block_size } = argument;
  if (kind === 'file' || kind === 'uring' || kind === 'aio')
    return {
      method: `bdev_${kind}_create`,
      params: { name, filename: path, block_size, ...(size !== null && { size }) },
    };
  return { method: `bdev_${kind}_create`, params: { name, block_size, num_blocks: size! / block_size } };
}

/** `Malloc0`, `Malloc1`, …: the first that is not in use. */
export function freeName(kind: BdevArgument['kind'], used: ReadonlySet<string>): string {
  const stem = kind.charAt(0).toUpperCase() + kind.slice(1);
  let number = 0;
  while (used.has(`${stem}${number}`)) number++;
  return `${stem}${number}`;
}
