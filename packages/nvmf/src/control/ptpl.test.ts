import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { noReservation, type ReservationState } from '../reservations.ts';
import { loadReservation, saveReservation } from './ptpl-control.ts';

const UUID = '01234567-89ab-4def-8123-456789abcdef';
const [A, B] = ['a', 'b'].map((digit) => digit.repeat(32)) as [string, string];
const state: ReservationState = {
  ...{ generation: 7, rtype: 3, holder: B, ptpl: true },
  registrants: [
    { hostid: A, rkey: 2n ** 64n - 1n },
    { hostid: B, rkey: 5n },
  ],
};

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'spdk-ts-ptpl-'));
  file = join(folder, 'ptpl.json');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

test('what is kept comes back, with all bits of its keys; the generation begins anew', async () => {
  await saveReservation(file, UUID.toUpperCase(), state);
  expect(await loadReservation(file, UUID)).toEqual({ ...state, generation: 0 });
  expect(readdirSync(folder)).toEqual(['ptpl.json']);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
    ...{ ptpl: true, rtype: 3, crkey: '0x5', bdev_uuid: UUID },
    holder_uuid: 'bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb',
    registrants: [
      { rkey: '0xffffffffffffffff', host_uuid: 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa' },
      { rkey: '0x5', host_uuid: 'bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb' },
    ],
  });
});

test('registrations without a reservation, and a reservation of all registrants', async () => {
  for (const other of [
    { ...state, rtype: 0, holder: null },
    { ...state, rtype: 6, holder: A },
  ]) {
    await saveReservation(file, UUID, other);
    expect(await loadReservation(file, UUID)).toEqual({ ...other, generation: 0 });
  }
});

test('what is not to persist is forgotten', async () => {
  await saveReservation(file, UUID, state);
  await saveReservation(file, UUID, { ...state, ptpl: false });
  expect(await loadReservation(file, UUID)).toEqual(noReservation);
});

test('no file, and SPDK’s files: empty, or with keys that are numbers', async () => {
  expect(await loadReservation(file, UUID)).toEqual(noReservation);
  writeFileSync(file, '');
  expect(await loadReservation(file, UUID)).toEqual(noReservation);
  const host_uuid = 'AAAAAAAA-aaaa-aaaa-aaaa-aaaaaaaaaaaa';
  const registrants = [{ rkey: 4096, host_uuid }];
  writeFileSync(
    file,
    JSON.stringify({
      ptpl: true,
      rtype: 1,
      crkey: 4096,
      bdev_uuid: UUID,
      holder_uuid: host_uuid,
      registrants,
    }),
  );
  expect(await loadReservation(file, UUID)).toMatchObject({
    ...{ rtype: 1, holder: A, registrants: [{ hostid: A, rkey: 4096n }] },
  });
});

const host_uuid = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa';
const sound = {
  ...{ ptpl: true, rtype: 1, crkey: '0x1', bdev_uuid: UUID, holder_uuid: host_uuid },
  registrants: [{ rkey: '0x1', host_uuid }],
};
test.each([
  ['half of it', JSON.stringify(sound).slice(0, 60), /JSON/],
  ['another bdev', { ...sound, bdev_uuid: '11234567-89ab-4def-8123-456789abcdef' }, /bdev_uuid is 11234567/],
  [
    'a key beyond 53 bits',
    { ...sound, registrants: [{ rkey: 2 ** 60, host_uuid }] },
    /rkey is 1152921504606847000/,
  ],
  ['no key', { ...sound, registrants: [{ host_uuid }] }, /rkey is undefined/],
  ['no host', { ...sound, registrants: [{ rkey: '0x1', host_uuid: 'x' }] }, /host_uuid is "x"/],
  ['a host twice', { ...sound, registrants: [...sound.registrants, ...sound.registrants] }, /twice/],
  ['a type', { ...sound, rtype: 7 }, /rtype is 7/],
  ['a holder that is not registered', { ...sound, registrants: [] }, /not among its registrants/],
])('a file with a fault is refused, not taken for none: %s', async (_, content, message) => {
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  await expect(loadReservation(file, UUID)).rejects.toThrow(message);
});

test('what cannot be kept is refused, and leaves what was there', async () => {
  await saveReservation(file, UUID, state);
  // Its temporary file cannot be made, whoever runs this.
  const blocked = join(folder, '.ptpl.json.new');
  mkdirSync(blocked);
  await expect(saveReservation(file, UUID, { ...state, rtype: 1 })).rejects.toThrow('EISDIR');
  expect((await loadReservation(file, UUID)).rtype).toBe(3);
});
