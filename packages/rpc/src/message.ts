import { type JsonPath, JsonScanError, JsonScanner } from './json-scanner.ts';
import { limits } from './limits.ts';

/** One JSON value as it came in, with what JSON.parse does not tell. */
export interface IncomingMessage {
  readonly value: unknown;
  /** Keys that were given twice. */
  readonly duplicates: readonly JsonPath[];
  /** Text of scalar ids, by element of a batch, or by -1 for a single request. */
  readonly ids: ReadonlyMap<number, string>;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const newRequestScanner = (): JsonScanner =>
  new JsonScanner({ maxValues: limits.requestValues, maxDepth: limits.requestDepth });

/** Turns the bytes of a value whose end `scanner` found into a message. Throws JsonScanError on bad UTF-8. */
export function toMessage(bytes: Uint8Array, scanner: JsonScanner): IncomingMessage {
  let text: string;
  try {
    text = strictUtf8.decode(bytes);
  } catch {
    throw new JsonScanError('the text is not UTF-8', 0);
  }
  return { value: JSON.parse(text), duplicates: scanner.duplicates, ids: scanner.ids };
}

/** Reads bytes that are to hold exactly one JSON value, as a WebSocket message does. Throws JsonScanError. */
export function parseMessage(bytes: Uint8Array): IncomingMessage {
  const scanner = newRequestScanner();
  // The blank lets a bare number end.
  const padded = new Uint8Array(bytes.length + 1);
  padded.set(bytes);
  padded[bytes.length] = 0x20;
  const length = scanner.scan(padded, 0, padded.length);
  if (length < 0) throw new JsonScanError('the text ends inside a JSON value', bytes.length);
  for (let i = length; i < bytes.length; i++) {
    if (bytes[i]! > 0x20) throw new JsonScanError('more text after the end of the JSON value', i);
  }
  return toMessage(bytes.subarray(0, Math.min(length, bytes.length)), scanner);
}
