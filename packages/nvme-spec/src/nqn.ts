/**
 * NVMe Qualified Names (Base 2.0, 4.5): `nqn.yyyy-mm.reverse.domain:string`, or the form made of a UUID. Strict in
 * the way of SPDK, so that what one refuses the other refuses.
 */
import { parseUuid } from './unique-ids.ts';

/** Bytes, without the terminating NUL. */
export const NQN_MAX_LENGTH = 223;
/** Bytes of the field that holds one. */
export const NQN_FIELD_SIZE = 256;
const NQN_MIN_LENGTH = 11;
const DOMAIN_LABEL_MAX_LENGTH = 63;

/** The well-known name every discovery subsystem answers to. */
export const DISCOVERY_NQN = 'nqn.2014-08.org.nvmexpress.discovery';
/** Start of a name made of a UUID. */
export const UUID_NQN_PREFIX = 'nqn.2014-08.org.nvmexpress:uuid:';

const LABEL = /^[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?$/;

/** Why `nqn` is not a valid name, or null if it is. */
export function nqnProblem(nqn: string): string | null {
  const length = new TextEncoder().encode(nqn).length;
  if (length > NQN_MAX_LENGTH) return `length ${length} > max ${NQN_MAX_LENGTH}`;
  if (length < NQN_MIN_LENGTH) return `length ${length} < min ${NQN_MIN_LENGTH}`;
  if (nqn.includes('\0')) return 'contains a NUL';
  if (nqn === DISCOVERY_NQN) return null;
  if (nqn.startsWith(UUID_NQN_PREFIX)) {
    const uuid = nqn.slice(UUID_NQN_PREFIX.length);
    if (uuid.length !== 36) return 'uuid is not the correct length';
    return parseUuid(uuid) ? null : 'uuid is not formatted correctly';
  }
  if (!nqn.startsWith('nqn.')) return 'must begin with "nqn."';
  if (!/^\d{4}-\d{2}\./.test(nqn.slice(4))) return 'invalid date code, must be "yyyy-mm."';
  const colon = nqn.indexOf(':');
  if (colon < 0 || colon === nqn.length - 1)
    return 'must contain a user specified name with a ":" as a prefix';
  for (const label of nqn.slice('nqn.yyyy-mm.'.length, colon).split('.')) {
    if (label.length > DOMAIN_LABEL_MAX_LENGTH) return `domain label "${label}" is too long`;
    if (!LABEL.test(label)) return `invalid domain label "${label}"`;
  }
  return null;
}

/** The name made of a UUID given as text. */
export function uuidNqn(uuid: string): string {
  return UUID_NQN_PREFIX + uuid;
}
