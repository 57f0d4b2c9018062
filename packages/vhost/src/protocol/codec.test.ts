import { describe, expect, it } from 'vitest';
import {
  configPayload,
  encode,
  inflightPayload,
  type Message,
  readAddress,
  readBits,
  readConfig,
  readInflight,
  readMemoryRegion,
  readMemoryTable,
  readState,
  requestName,
} from './codec.ts';
import { VhostUserError } from './errors.ts';

/** A message whose payload is given in hexadecimal, as it would be seen on the wire. */
const message = (request: number, payload: string, descriptors: number[] = []): Message => ({
  request,
  flags: 1,
  payload: Uint8Array.from(Buffer.from(payload.replaceAll(' ', ''), 'hex')),
  descriptors,
});
const u64 = (value: bigint): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.toString('hex');
};

describe('payloads of vhost-user messages', () => {
  it('are read as the specification lays them out', () => {
    expect(readBits(message(2, '01020304 05060708'))).toEqual({ low: 0x04030201, high: 0x08070605 });
    expect(readState(message(8, '02000000 00010000'))).toEqual({ index: 2, num: 256 });
    const address = `03000000 01000000 ${u64(0x7f00_0000_1000n)} ${u64(0x2000n)} ${u64(0x3000n)} ${u64(0n)}`;
    expect(readAddress(message(9, address))).toEqual({
      ...{ index: 3, flags: 1, descriptor: 0x7f00_0000_1000, used: 0x2000, available: 0x3000 },
    });
    const region = [0x1_0000_0000n, 0x2000n, 0x7f00_0000_0000n, 0x1000n].map(u64).join('');
    const read = {
      ...{ guest_address: 0x1_0000_0000, size: 0x2000, user_address: 0x7f00_0000_0000, mmap_offset: 0x1000 },
    };
    expect(readMemoryTable(message(5, `01000000 00000000 ${region}`, [7]))).toEqual([read]);
    // QEMU sends room for eight, whatever there is
    expect(readMemoryTable(message(5, `01000000 00000000 ${region} ${'00'.repeat(224)}`, [7]))).toEqual([
      read,
    ]);
    expect(readMemoryRegion(message(37, `${u64(0n)} ${region}`))).toEqual(read);
    expect(readConfig(message(24, '04000000 02000000 01000000 0000'))).toEqual({
      offset: 4,
      size: 2,
      flags: 1,
    });
    const inflight = `${u64(0x1000n)} ${u64(0x2000n)} 0200 8000`;
    const described = { mmap_size: 0x1000, mmap_offset: 0x2000, num_queues: 2, queue_size: 128 };
    expect(readInflight(message(32, inflight))).toEqual(described);
    expect(readInflight(message(32, `${inflight} 00000000`))).toEqual(described);
    expect(Buffer.from(inflightPayload(described, 20)).toString('hex')).toBe(inflight.replaceAll(' ', ''));
  });

  it('are written as the specification lays them out', () => {
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
    expect(hex(encode(1, 4, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)))).toBe(
      '0100000005000000080000000102030405060708',
    );
    expect(hex(configPayload({ offset: 4, size: 2, flags: 1 }, Uint8Array.of(9, 8)))).toBe(
      '0400000002000000010000000908',
    );
  });

  it.each([
    ['too short', () => readBits(message(2, '00'))],
    ['too long', () => readState(message(8, '00'.repeat(9)))],
    [
      'an address beyond 2^52',
      () => readAddress(message(9, `${'00'.repeat(8)} ${u64(1n << 52n)} ${'00'.repeat(24)}`)),
    ],
    [
      'nine regions',
      () => readMemoryTable(message(5, `09000000 00000000 ${'00'.repeat(288)}`, Array(9).fill(1))),
    ],
    [
      'fewer regions than it says',
      () => readMemoryTable(message(5, `02000000 00000000 ${'00'.repeat(32)}`, [1, 2])),
    ],
    ['fewer descriptors', () => readMemoryTable(message(5, `01000000 00000000 ${'00'.repeat(32)}`, []))],
    [
      'a region that ends beyond 2^52',
      () =>
        readMemoryRegion(
          message(37, `${u64(0n)} ${u64(0n)} ${u64(4096n)} ${u64((1n << 52n) - 1n)} ${u64(0n)}`),
        ),
    ],
    ['a config that brings less', () => readConfig(message(24, '00000000 08000000 00000000 00'))],
    ['a config beyond its end', () => readConfig(message(24, `ff000000 02000000 00000000 0000`))],
    ['a config whose end wraps', () => readConfig(message(24, 'ffffffff 02000000 00000000 0000'))],
    ['half an in-flight description', () => readInflight(message(32, '00'.repeat(16)))],
  ])('are refused when they are wrong: %s', (_, read) => {
    expect(read).toThrow(VhostUserError);
  });

  it('have names', () => {
    expect([requestName(1), requestName(38), requestName(99)]).toEqual([
      'GET_FEATURES',
      'REM_MEM_REG',
      'request 99',
    ]);
  });
});
