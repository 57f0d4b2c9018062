/**
 * Keys of Diffie-Hellman as node:crypto takes and gives them: SubjectPublicKeyInfo (RFC 5280, 4.1) and PrivateKeyInfo
 * (PKCS #8, RFC 5208, 5) with the algorithm dhKeyAgreement (PKCS #3), in DER (X.690). Numbers are big-endian.
 */

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const SEQUENCE = 0x30;
/** 1.2.840.113549.1.3.1 */
const DH_KEY_AGREEMENT = Uint8Array.of(0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x03, 0x01);

function value(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Uint8Array.of(tag, length), content]);
  return Buffer.concat([Uint8Array.of(tag, 0x82, length >> 8, length & 0xff), content]);
}

/** An unsigned number, big-endian. */
function integer(bytes: Uint8Array): Uint8Array {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const digits = bytes.subarray(from);
  return value(INTEGER, digits[0]! >= 0x80 ? Uint8Array.of(0) : new Uint8Array(0), digits);
}

function algorithm(prime: Uint8Array, generator: number): Uint8Array {
  const parameters = value(SEQUENCE, integer(prime), integer(Uint8Array.of(generator)));
  return value(SEQUENCE, DH_KEY_AGREEMENT, parameters);
}

/** g^x mod p as a public key. */
export function publicKeyInfo(prime: Uint8Array, generator: number, publicValue: Uint8Array): Buffer {
  const key = value(BIT_STRING, Uint8Array.of(0), integer(publicValue));
  return Buffer.from(value(SEQUENCE, algorithm(prime, generator), key));
}

/** The exponent x as a private key. */
export function privateKeyInfo(prime: Uint8Array, generator: number, exponent: Uint8Array): Buffer {
  const key = value(OCTET_STRING, integer(exponent));
  return Buffer.from(value(SEQUENCE, integer(Uint8Array.of(0)), algorithm(prime, generator), key));
}

/** Where the content of the value at `at` begins, and ends. */
function contentOf(der: Uint8Array, at: number, tag: number): { from: number; to: number } {
  if (der[at] !== tag) throw new Error(`DER: a value with tag ${tag} is missing at ${at}`);
  let length = der[at + 1]!;
  let from = at + 2;
  if (length >= 0x80) {
    const bytes = length - 0x80;
    length = 0;
    for (let i = 0; i < bytes; i++) length = length * 256 + der[from + i]!;
    from += bytes;
  }
  return { from, to: from + length };
}

function numberAt(der: Uint8Array, at: number): Uint8Array {
  const { from, to } = contentOf(der, at, INTEGER);
  return der.subarray(der[from] === 0 ? from + 1 : from, to);
}

/** g^x mod p of a public key. */
export function publicValueOf(der: Uint8Array): Uint8Array {
  const info = contentOf(der, 0, SEQUENCE);
  const { to } = contentOf(der, info.from, SEQUENCE);
  return numberAt(der, contentOf(der, to, BIT_STRING).from + 1);
}

/** The exponent x of a private key. */
export function exponentOf(der: Uint8Array): Uint8Array {
  const info = contentOf(der, 0, SEQUENCE);
  const version = contentOf(der, info.from, INTEGER);
  const { to } = contentOf(der, version.to, SEQUENCE);
  return numberAt(der, contentOf(der, to, OCTET_STRING).from);
}
