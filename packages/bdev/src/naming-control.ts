import { createHash, randomUUID } from 'node:crypto';
import type { BdevDescription, BdevSpec } from './description.ts';
import { BdevError } from './errors.ts';
import { Errno } from './io-status.ts';
import { limitsOf } from './limits.ts';
import { zonesOf } from './zoned.ts';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const BLOCK_BYTES_MIN = 512;
const BLOCK_BYTES_MAX = 65_536;
const NAME_LENGTH_MAX = 255;

/** A UUID that is always the same for the same text: version 5 in form, SHA-256 in substance. */
export function uuidOf(text: string): string {
  const digest = createHash('sha256').update('spdk-ts bdev\0').update(text).digest();
  digest[6] = (digest[6]! & 0x0f) | 0x50;
  digest[8] = (digest[8]! & 0x3f) | 0x80;
  const hex = digest.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}

/** Names are compared as they are, UUIDs without regard to case. */
export function lookupKey(name: string): string {
  return UUID.test(name) ? name.toLowerCase() : name;
}

function invalid(explanation: string): never {
  throw new BdevError(Errno.EINVAL, explanation);
}

/** A whole number of bytes or blocks from `min` to `max`, or BdevError EINVAL with the parameter and the value. */
export function checkNumber(parameter: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max)
    invalid(`${parameter} is ${value}; give an integer from ${min} to ${max}`);
}

/** A block size that the layer takes: a power of two from 512 to 65536. */
export function checkBlockSize(block_size: number): void {
  const power = block_size > 0 && Number.isInteger(Math.log2(block_size));
  if (!power || block_size < BLOCK_BYTES_MIN || block_size > BLOCK_BYTES_MAX)
    invalid(
      `block_size is ${block_size}; give a power of two from ${BLOCK_BYTES_MIN} to ${BLOCK_BYTES_MAX} (bytes)`,
    );
}

/** Makes a description of a module's spec, or throws BdevError EINVAL. */
export function describe(id: number, module: string, spec: BdevSpec): BdevDescription {
  const { name, num_blocks } = spec;
  if (name.length === 0 || name.length > NAME_LENGTH_MAX)
    invalid(`name "${name}" has ${name.length} characters; give 1 to ${NAME_LENGTH_MAX}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is refused
  if (/[\x00-\x1f\x7f]/.test(name)) invalid(`name ${JSON.stringify(name)} contains control characters`);
  const md_size = spec.md_size ?? 0;
  checkBlockSize(spec.md_interleave === true ? spec.block_size - md_size : spec.block_size);
  checkNumber('num_blocks', num_blocks, 1, Math.floor(Number.MAX_SAFE_INTEGER / spec.block_size));
  if (spec.uuid !== undefined && !UUID.test(spec.uuid)) invalid(`uuid "${spec.uuid}" is not a UUID`);
  const uuid = (spec.uuid ?? randomUUID()).toLowerCase();
  const aliases = [...(spec.aliases ?? [])];
  if (lookupKey(name) !== uuid && !aliases.includes(uuid)) aliases.unshift(uuid);
  return Object.freeze({
    id,
    module,
    name,
    aliases,
    product_name: spec.product_name,
    uuid,
    block_size: spec.block_size,
    num_blocks,
    io_types: spec.io_types,
    preferred_write_granularity: spec.preferred_write_granularity || 1,
    preferred_write_alignment: spec.preferred_write_alignment || 1,
    optimal_write_size: spec.optimal_write_size ?? 0,
    preferred_unmap_granularity: spec.preferred_unmap_granularity || 1,
    preferred_unmap_alignment: spec.preferred_unmap_alignment || 1,
    required_alignment: spec.required_alignment ?? 0,
    optimal_io_boundary: spec.optimal_io_boundary ?? 0,
    ...limitsOf(spec),
    ...zonesOf(spec),
    physical_block_size: spec.physical_block_size || spec.block_size,
    md_size,
    md_interleave: spec.md_interleave ?? false,
    dif_type: spec.dif_type ?? 0,
    dif_is_head_of_md: spec.dif_is_head_of_md ?? false,
    dif_check_types: spec.dif_check_types ?? 0,
    dif_pi_format: spec.dif_pi_format ?? 0,
    hides_metadata: false,
    reads_in_place: spec.reads_in_place ?? false,
    writes_at_once: spec.writes_at_once ?? false,
    unmap_zeroes: spec.unmap_zeroes ?? false,
    reset_io_drain_timeout: spec.reset_io_drain_timeout ?? 0,
    kv: spec.kv ?? null,
    context: spec.context,
  });
}
