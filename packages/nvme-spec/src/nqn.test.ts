import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DISCOVERY_NQN, nqnProblem, uuidNqn } from './nqn.ts';
import * as id from './unique-ids.ts';

test('valid names', () => {
  for (const nqn of [
    DISCOVERY_NQN,
    'nqn.2016-06.io.spdk:cnode1',
    'nqn.2014-08.com.example:nvme:nvm-subsystem-sn-d78432',
    'nqn.2016-06.io.spdk:höst',
    'nqn.2016-06.io.a-1b:x',
    uuidNqn('11111111-aaaa-bbdd-FFEE-123456789abc'),
    `nqn.2016-06.io.spdk:${'a'.repeat(203)}`,
  ]) {
    expect(nqnProblem(nqn), nqn).toBeNull();
  }
});

test('invalid names say why', () => {
  for (const [nqn, why] of [
    ['', 'length 0 < min 11'],
    [`nqn.2016-06.io.spdk:${'a'.repeat(204)}`, 'length 224 > max 223'],
    [`nqn.2016-06.io.spdk:${'é'.repeat(102)}`, 'length 224 > max 223'],
    ['nqn.2016-06.io.spdk', 'user specified name'],
    ['nqn.2016-06.io.spdk:', 'user specified name'],
    ['nqn.2016-06.io.abc\0:cnode', 'NUL'],
    ['abc.2016-06.io.spdk:cnode1', 'must begin'],
    ['nqn.2016-6.io.spdk:cnode1', 'date code'],
    ['nqn.206-06.io.spdk:cnode1', 'date code'],
    ['nqn.2016-06-io.spdk:cnode1', 'date code'],
    ['nqn.2016-06.io.3spdk:sub', 'domain label "3spdk"'],
    ['nqn.2016-06.io.-spdk:sub', 'domain label "-spdk"'],
    ['nqn.2016-06.io.spdk-:sub', 'domain label "spdk-"'],
    ['nqn.2016-06.io..spdk:sub', 'domain label ""'],
    [`nqn.2016-06.io.${'a'.repeat(64)}:sub`, 'is too long'],
    [uuidNqn('11111111-aaaa-bbdd-ffee-123456789ab'), 'not the correct length'],
    [uuidNqn('11111111-aaaa-bbdd-ffee-123456789abz'), 'not formatted correctly'],
  ] as const) {
    expect(nqnProblem(nqn), nqn).toContain(why);
  }
});

test('UUID, NGUID and EUI64', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.uint8Array({ minLength: 16, maxLength: 16 }), (uuid, bytes) => {
      expect(id.formatUuid(id.parseUuid(uuid)!)).toBe(uuid);
      expect(id.parseUuid(id.formatUuid(bytes))).toEqual(bytes);
      expect(id.parseNguid(id.formatNguid(bytes))).toEqual(bytes);
      expect(id.parseEui64(id.formatEui64(bytes.slice(0, 8)))).toEqual(bytes.slice(0, 8));
    }),
  );
  expect(id.parseNguid('ABCDEF0123456789ABCDEF0123456789')?.[0]).toBe(0xab);
  for (const text of ['', 'x'.repeat(32), '00'.repeat(15), '00112233-4455-6677-8899-aabbccddeeff']) {
    expect(id.parseNguid(text)).toBeNull();
  }
  expect(id.parseUuid('00112233445566778899aabbccddeeff')).toBeNull();
  expect(id.parseEui64('0011223344556677')).toEqual(
    Uint8Array.of(0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77),
  );
  expect(id.isZeroId(new Uint8Array(16))).toBe(true);
  expect(id.isZeroId(Uint8Array.of(0, 1))).toBe(false);
});
