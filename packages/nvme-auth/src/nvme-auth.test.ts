import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { dhchapGroup, dhchapHash, groupLength, hashLength, identifierMask, strongest } from './algorithms.ts';
import { augmentChallenge, controllerResponse, equalSecrets, hostResponse } from './dhchap-response.ts';
import { formatDhchapSecret, parseDhchapSecret, transformDhchapSecret } from './dhchap-secret.ts';
import { generateDhKeys, groupPrime, sharedDhSecret } from './ffdhe.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

// RFC 7919, A.1, as printed there.
const FFDHE2048 =
  'FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF9' +
  '7D2FE363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935' +
  '984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FB' +
  'B96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61' +
  '9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EFFA' +
  '886B423861285C97FFFFFFFFFFFFFFFF';

// SHA-256 of the primes that OpenSSL 3.0 has under these names.
const primes = {
  ffdhe2048: '9cd3b7f336872f46c09428d1bbc19877a4d440512cda8d1c1cf0cd6e33698966',
  ffdhe3072: '0eaf67db3a839156d5013494a5318a772b5697d270d721f37f092efc69ea5a17',
  ffdhe4096: '4648414224ac881b3d0dc59b466f96d06a558278776807797ecf1f66ff397b3e',
  ffdhe6144: '227ac9066b3ddd9e193670cda2388fa884f65ba0cf98b742d1fe77a6687c79c7',
  ffdhe8192: '770b14efaf6f049929c523113b3fa99a8d11dab1b18af3609590122075d19833',
} as const;

test('the primes are those of RFC 7919', () => {
  expect(hex(groupPrime(dhchapGroup.ffdhe2048)).toUpperCase()).toBe(FFDHE2048);
  for (const [name, digest] of Object.entries(primes)) {
    const prime = groupPrime(dhchapGroup[name as keyof typeof primes]);
    expect(createHash('sha256').update(prime).digest('hex'), name).toBe(digest);
    expect(prime.length).toBe(groupLength(dhchapGroup[name as keyof typeof primes]));
  }
  expect(() => groupPrime(0)).toThrow(RangeError);
});

function modpow(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let b = base, e = exponent; e > 0n; e >>= 1n, b = (b * b) % modulus)
    if (e & 1n) result = (result * b) % modulus;
  return result;
}
const big = (bytes: Uint8Array): bigint => BigInt(`0x${hex(bytes)}`);

test.each(Object.keys(primes) as (keyof typeof primes)[])('%s: both sides find the same secret', (name) => {
  const group = dhchapGroup[name];
  const a = generateDhKeys(group);
  const b = generateDhKeys(group);
  expect(a.publicKey.length).toBe(groupLength(group));
  const secret = sharedDhSecret(group, a.privateKey, b.publicKey)!;
  expect(secret.length).toBe(groupLength(group));
  expect(hex(sharedDhSecret(group, b.privateKey, a.publicKey)!)).toBe(hex(secret));
  const p = big(groupPrime(group));
  expect(big(a.publicKey)).toBe(modpow(2n, big(a.privateKey), p));
  expect(big(secret)).toBe(modpow(big(b.publicKey), big(a.privateKey), p));
});

test('public values outside of the group are refused', () => {
  const group = dhchapGroup.ffdhe2048;
  const { privateKey } = generateDhKeys(group);
  const p = big(groupPrime(group));
  for (const value of [0n, 1n, p - 1n, p, p + 1n])
    expect(
      sharedDhSecret(group, privateKey, Buffer.from(value.toString(16).padStart(512, '0'), 'hex')),
    ).toBeNull();
  expect(sharedDhSecret(group, privateKey, new Uint8Array(0))).toBeNull();
});

test('the strongest that both have is chosen', () => {
  expect(identifierMask(dhchapHash, undefined)).toBe(0b1110);
  const mask = identifierMask(dhchapGroup, ['null', 'ffdhe3072']);
  expect(mask).toBe(0b101);
  expect(strongest([0, 1, 2, 5], mask)).toBe(2);
  expect(strongest([1, 5, 33, 200], mask)).toBe(-1);
  expect([hashLength(1), hashLength(2), hashLength(3), hashLength(4)]).toEqual([32, 48, 64, 0]);
});

// Base 2.0, 8.13.5.8, with the CRC-32 of Python's zlib.
const KEY = Uint8Array.from({ length: 32 }, (_, i) => i);
const TEXT = 'DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:';

test('secrets are read and written', () => {
  expect(formatDhchapSecret({ hash: 0, key: KEY })).toBe(TEXT);
  const text = formatDhchapSecret({ hash: 2, key: KEY });
  expect(parseDhchapSecret(`${text}\n`)).toEqual({ hash: 2, key: KEY });
  expect(parseDhchapSecret(TEXT)).toEqual({ hash: 0, key: KEY });
});

test.each([
  ['DHHC-2', (text: string) => text.replace('-1', '-2'), /does not begin/],
  ['no digits', (text: string) => text.replace(':00:', '::'), /two digits/],
  ['hash 04', (text: string) => text.replace(':00:', ':04:'), /00, 01, 02 or 03/],
  ['no last colon', (text: string) => text.slice(0, -1), /three parts/],
  ['more behind', (text: string) => `${text}x`, /three parts/],
  ['no Base64', (text: string) => text.replace('AAEC', '!!!!'), /Base64/],
  ['a changed bit', (text: string) => text.replace('AAEC', 'AAED'), /CRC-32/],
  ['too short', () => 'DHHC-1:00:AAECAwQF:', /2 bytes/],
  ['nothing', () => '', /does not begin/],
])('a secret is refused: %s', (_, change, message) => {
  let error: Error | null = null;
  try {
    parseDhchapSecret(change(TEXT));
  } catch (caught) {
    error = caught as Error;
  }
  expect(error?.message).toMatch(message);
  expect(error?.message).not.toContain('AwQFBgcI');
});

// Made with the tool `openssl dgst -mac HMAC` from the formulas of Base 2.0, 8.13.5.
const KAT = {
  transformed: 'c88de69ae460f942435e4f39045c2dc1b1b145faa018999ca391e96c09c34270',
  r1: '41375584c555799abac11e7da13e7dabfcf6e572b06f373a7f375a42cc93a107',
  r2: 'e0e3e2f891d0c4c035a9b4ff560c3d6900b07b2aa0ec08e592cacc3dd235e357',
  augmented: 'f19b6d69681029ac7f30708567af90a7c41e2a03a70f70fe1807ffaa58026835',
  r1dh: '39b7818ab4d22807a6a7469b43f4d9ee36528e75daf1ba3763883a2ec48f7d2a',
};

// Base 2.0, 8.13.5.7: HMAC(secret, NQN || "NVMe-over-Fabrics").
test('secrets are transformed for an NQN', () => {
  expect(transformDhchapSecret({ hash: 0, key: KEY }, 'nqn.host')).toEqual(KEY);
  expect(transformDhchapSecret({ hash: 1, key: KEY }, 'nqn.host').length).toBe(32);
  expect(hex(transformDhchapSecret({ hash: 1, key: KEY }, 'nqn.host'))).toBe(KAT.transformed);
});

const input = {
  hash: 1,
  key: KEY,
  challenge: KEY.map((b) => 0xff - b),
  secret: null,
  seqnum: 0x01020304,
  t_id: 0x1122,
  sc_c: 0,
};

test('responses', () => {
  expect(hex(hostResponse(input, 'nqn.host', 'nqn.subsys'))).toBe(KAT.r1);
  expect(hex(controllerResponse(input, 'nqn.host', 'nqn.subsys'))).toBe(KAT.r2);
  const secret = Uint8Array.from({ length: 256 }, (_, i) => i);
  expect(hex(augmentChallenge(1, input.challenge, secret))).toBe(KAT.augmented);
  expect(hex(hostResponse({ ...input, secret }, 'nqn.host', 'nqn.subsys'))).toBe(KAT.r1dh);
});

test('secrets are compared', () => {
  expect(equalSecrets(KEY, KEY.slice())).toBe(true);
  expect(equalSecrets(KEY, KEY.slice(1))).toBe(false);
  expect(equalSecrets(KEY, input.challenge)).toBe(false);
});
