import { Errno, invalid, VfioUserError } from './errors.ts';
import { atLeast, viewOf } from './fields.ts';
import { PROTOCOL_MAJOR } from './protocol.ts';

/** What a side can do, with the values that count where it says nothing. */
export interface Capabilities {
  /** Descriptors that it takes with one message. */
  readonly max_msg_fds: number;
  /** Bytes of data that it takes, or gives, in one message. */
  readonly max_data_xfer_size: number;
  /** DMA ranges that may be mapped at once. */
  readonly max_dma_maps: number;
  /** Page sizes of DMA ranges, or'ed. */
  readonly pgsizes: number;
  /** It knows REGION_WRITE_MULTI. */
  readonly write_multiple: boolean;
  /** It can do commands from the server on a socket of their own; in a reply, which descriptor is the client's end. */
  readonly twin_socket: { readonly supported: boolean; readonly fd_index: number | null };
}

export const defaultCapabilities: Capabilities = {
  max_msg_fds: 1,
  max_data_xfer_size: 1_048_576,
  max_dma_maps: 65_535,
  pgsizes: 4096,
  write_multiple: false,
  twin_socket: { supported: false, fd_index: null },
};

export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly capabilities: Capabilities;
}

/** Longest version data that is read, bytes. */
const DATA_MAX = 16_384;

function textOf(data: Uint8Array): string {
  if (data.length > DATA_MAX)
    throw invalid(`version data of ${data.length} bytes: there are ${DATA_MAX} at most`);
  if (data[data.length - 1] !== 0) throw invalid('version data does not end with a NUL');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(0, data.indexOf(0)));
  } catch {
    throw invalid('version data is no UTF-8');
  }
}

function objectOf(value: unknown, name: string): Record<string, unknown> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(`${name} is no JSON object`);
  return value as Record<string, unknown>;
}

function numberOf(from: Record<string, unknown>, name: string, otherwise: number, least: number): number {
  const value = from[name];
  if (value === undefined) return otherwise;
  if (!Number.isSafeInteger(value) || (value as number) < least)
    throw invalid(`capability ${name} is ${JSON.stringify(value)}: it must be an integer from ${least} on`);
  return value as number;
}

function booleanOf(from: Record<string, unknown>, name: string): boolean {
  const value = from[name] ?? false;
  if (typeof value !== 'boolean') throw invalid(`capability ${name} is ${JSON.stringify(value)}, no boolean`);
  return value;
}

function capabilitiesOf(data: Uint8Array): Capabilities {
  if (data.length === 0) return defaultCapabilities;
  let parsed: unknown;
  try {
    parsed = JSON.parse(textOf(data));
  } catch (error) {
    if (error instanceof VfioUserError) throw error;
    throw invalid(`version data is no JSON: ${(error as Error).message}`);
  }
  const given = objectOf(objectOf(parsed, 'version data')['capabilities'], 'capabilities');
  const twin = objectOf(given['twin_socket'], 'capability twin_socket');
  const defaults = defaultCapabilities;
  return {
    max_msg_fds: numberOf(given, 'max_msg_fds', defaults.max_msg_fds, 0),
    max_data_xfer_size: numberOf(given, 'max_data_xfer_size', defaults.max_data_xfer_size, 1),
    max_dma_maps: numberOf(given, 'max_dma_maps', defaults.max_dma_maps, 1),
    pgsizes: numberOf(given, 'pgsizes', defaults.pgsizes, 1),
    write_multiple: booleanOf(given, 'write_multiple'),
    twin_socket: {
      supported: booleanOf(twin, 'supported'),
      fd_index: twin['fd_index'] === undefined ? null : numberOf(twin, 'fd_index', 0, 0),
    },
  };
}

/** Reads the payload of VERSION, command or reply. Throws VfioUserError for what is none. */
export function parseVersion(payload: Uint8Array): Version {
  const view = atLeast(payload, 4, 'VERSION');
  const major = view.getUint16(0, true);
  const minor = view.getUint16(2, true);
  return { major, minor, capabilities: capabilitiesOf(payload.subarray(4)) };
}

/** The payload of VERSION, with the capabilities that are given. */
export function encodeVersion(
  major: number,
  minor: number,
  capabilities: Readonly<Record<string, unknown>> | Partial<Capabilities>,
): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify({ capabilities }));
  const bytes = new Uint8Array(4 + text.length + 1);
  const view = viewOf(bytes);
  view.setUint16(0, major, true);
  view.setUint16(2, minor, true);
  bytes.set(text, 4);
  return bytes;
}

/** The version that both sides have, or an error: EINVAL unless the majors agree. */
export function commonVersion(theirs: Version, minor: number): { major: number; minor: number } {
  if (theirs.major !== PROTOCOL_MAJOR)
    throw new VfioUserError(
      Errno.EINVAL,
      `version ${theirs.major}.${theirs.minor} is not spoken here: major version ${PROTOCOL_MAJOR} is`,
      true,
    );
  return { major: PROTOCOL_MAJOR, minor: Math.min(theirs.minor, minor) };
}
