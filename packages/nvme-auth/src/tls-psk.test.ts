import { expect, test } from 'vitest';
import { parsePskIdentity } from './psk-identity.ts';
import {
  formatInterchangePsk,
  hkdfExpandLabel,
  parseInterchangePsk,
  pskDigest,
  retainedPsk,
  tlsPsk,
} from './tls-psk.ts';

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'));
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex');

// Vectors of libnvme's test/psk.c.
const KEY32 = bytes('5512dbb6737d0106f65975b773dfb011ffc344bcf442e2dd6d8bc4870b5d5b03');
const KEY48 = bytes(`${hex(KEY32)}ffc344bcf442e2dd6d8bc4870b5d5b03`);
const HOST = 'nqn.psk-test-host';
const SUBSYS = 'nqn.psk-test-subsys';

test.each([
  [0, KEY32, 'NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'],
  [1, KEY32, 'NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'],
  [2, KEY48, 'NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:'],
])('interchange format with hash %i', (hash, key, text) => {
  expect(formatInterchangePsk({ hash, key })).toBe(text);
  expect(parseInterchangePsk(`${text}\n`)).toEqual({ hash, key });
});

const TEXT = formatInterchangePsk({ hash: 1, key: KEY32 });
test.each([
  ['another version', TEXT.replace('-1', '-2'), /does not begin/],
  ['hash 03', TEXT.replace(':01:', ':03:'), /00, 01 or 02/],
  ['a hash of other length', TEXT.replace(':01:', ':02:'), /48 bytes/],
  ['a changed bit', TEXT.replace('VRL', 'VRM'), /CRC-32/],
  ['no last colon', TEXT.slice(0, -1), /three parts/],
  ['64 bytes', formatInterchangePsk({ hash: 0, key: new Uint8Array(64) }), /64 bytes/],
])('a PSK is refused: %s', (_, text, message) => {
  expect(() => parseInterchangePsk(text)).toThrow(message);
});

test.each([
  [1, KEY32, 'NVMe1R01 nqn.psk-test-host nqn.psk-test-subsys iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU='],
  [
    2,
    KEY48,
    'NVMe1R02 nqn.psk-test-host nqn.psk-test-subsys QhW2+Rp6RzHlNtCslyRxMnwJ11tKKhz8JCAQpQ+XUD8f9td1VeH5h53yz2wKJG1a',
  ],
])('identity of version 1 with hash %i', (hash, key, identity) => {
  expect(tlsPsk(1, retainedPsk({ hash, key }, HOST), HOST, SUBSYS).identity).toBe(identity);
});

// Vectors of Linux' drivers/nvme/common/tests/auth_kunit.c: a PSK, its digest and the TLS PSK.
test('digest and TLS PSK of version 1', () => {
  const psk = bytes('1733c59fa7f48fcf37f5f26fc4ff0268ad4f78e030f4f3b0bfd1d47e7bb1447a');
  expect(pskDigest(1, psk, 'hostnqn', 'subsysnqn')).toBe('OldoKuTfKddMuyCznAZojkWD7P4D9/AtzDzLimtOxqI=');
  expect(hex(tlsPsk(1, psk, 'hostnqn', 'subsysnqn').key)).toBe(
    '3c17da628474a04d2247c4cab47968c915388193f7c071bd9489cc3666cd7cc8',
  );
  const long = bytes(
    'f14b2dd3234c459694d3bc63f8968bd6b37c2c6de849e22e118749001ce4bbe8640b9e3a748cb11ce4b1d71d359cce39',
  );
  expect(pskDigest(2, long, 'hostnqn', 'subsysnqn')).toBe(
    'cffMWk8TSS7HOQebjgYEIkrPrjWPV4JE5cdPB8WhEvY4JBW5YynKyv66XscN4A9n',
  );
  expect(hex(tlsPsk(1, long, 'hostnqn', 'subsysnqn').key)).toBe(
    '2774753233537b3fa50eb7d16a8e43457d85f4906c005b2236616c5d80939d0898fff15bb8b77119d2be0aac423e7590',
  );
});

test('identity of version 0; a configured PSK of hash 00 is the retained one', () => {
  expect(retainedPsk({ hash: 0, key: KEY32 }, HOST)).toBe(KEY32);
  const { identity, key } = tlsPsk(0, KEY32, HOST, SUBSYS);
  expect(identity).toBe(`NVMe0R01 ${HOST} ${SUBSYS}`);
  // openssl kdf HKDF with the info 0020 || 12 "tls13 nvme-tls-psk" || 2e identity.
  expect(hex(key)).toBe('ec85300ba827726bd3bc4fc07f3a34aec5fe7c8ccac05fefc2f021c74e0df9ef');
});

test('a context is of 255 bytes at most', () => {
  expect(() => hkdfExpandLabel('sha256', KEY32, 'x', 'y'.repeat(256), 32)).toThrow(/255/);
});

test.each([
  ['NVMe0R01 nqn.a nqn.b', { version: 0, hash: 1, hostnqn: 'nqn.a', subnqn: 'nqn.b' }],
  ['NVMe1R02 nqn.a nqn.b abc=', { version: 1, hash: 2, hostnqn: 'nqn.a', subnqn: 'nqn.b' }],
  ['NVMe1G01 nqn.a nqn.b abc=', { version: 1, hash: 1, hostnqn: 'nqn.a', subnqn: 'nqn.b' }],
  ['NVMe1R01 nqn.a nqn.b', null],
  ['NVMe0R01 nqn.a nqn.b more', null],
  ['Client_identity', null],
])('identity %s', (identity, parts) => {
  expect(parsePskIdentity(identity)).toEqual(parts);
});
