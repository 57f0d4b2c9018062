import { crc32 } from 'node:zlib';

/** A key in its written form: `PREFIX:xx:base64 of the key and its CRC-32:`. */
export interface WrittenKey {
  /** The two digits. */
  readonly hash: number;
  readonly key: Uint8Array;
}

const CRC_BYTES = 4;

/**
 * Reads a key. Throws an Error that says what is wrong, never what the key is. A line feed at its end is allowed, as
 * files have one.
 */
export function readWrittenKey(text: string, prefix: string, lengths: readonly number[]): WrittenKey {
  const [head, digits, base64, rest, ...more] = text.replace(/\r?\n$/, '').split(':');
  if (head !== prefix) throw new Error(`it does not begin with "${prefix}:"`);
  if (!/^[0-9]{2}$/.test(digits ?? '')) throw new Error(`two digits and a colon must follow "${prefix}:"`);
  if (base64 === undefined || rest !== '' || more.length > 0)
    throw new Error('it must have three parts, each with a colon behind it');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64) || base64.length % 4 !== 0)
    throw new Error('its third part is not Base64');
  const bytes = Buffer.from(base64, 'base64');
  const length = bytes.length - CRC_BYTES;
  if (!lengths.includes(length))
    throw new Error(`it holds a key of ${Math.max(0, length)} bytes: ${lengths.join(', ')} are allowed`);
  const key = new Uint8Array(bytes.subarray(0, length));
  if (bytes.readUInt32LE(length) !== crc32(key)) throw new Error('its CRC-32 does not match');
  return { hash: Number(digits), key };
}

/** The written form of a key. */
export function writeKey(prefix: string, hash: number, key: Uint8Array): string {
  const bytes = Buffer.alloc(key.length + CRC_BYTES);
  bytes.set(key);
  bytes.writeUInt32LE(crc32(key), key.length);
  return `${prefix}:${String(hash).padStart(2, '0')}:${bytes.toString('base64')}:`;
}
