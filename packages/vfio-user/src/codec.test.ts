import { describe, expect, it } from 'vitest';
import * as v from './index.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const refused = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    if (error instanceof v.VfioUserError) return error.code;
    throw error;
  }
  return 'accepted';
};

describe('the header', () => {
  const known = '0300 0900 24000000 10000000 00000000';

  it('is sixteen bytes: id, command, size, flags, error', () => {
    expect(v.parseHeader(bytesOf(known), 4096)).toEqual({ id: 3, command: 9, size: 36, flags: 16, error: 0 });
    expect(hex(v.encodeErrorReply(0x1234, v.Command.dmaMap, v.Errno.EEXIST))).toBe(
      '34120200100000002100000011000000',
    );
    expect(hex(v.encodeCommand(3, v.Command.regionRead, new Uint8Array(20), true)).slice(0, 32)).toBe(
      known.replaceAll(' ', ''),
    );
  });

  it('is refused, and the stream with it, if its size or its flags cannot be', () => {
    for (const [size, flags] of [
      [15, 0],
      [4097, 0],
      [0xffff_ffff, 0],
      [16, 2],
      [16, 0x40],
    ] as const) {
      const bytes = bytesOf(known);
      new DataView(bytes.buffer).setUint32(4, size, true);
      new DataView(bytes.buffer).setUint32(8, flags, true);
      expect(() => v.parseHeader(bytes, 4096)).toThrow(v.VfioUserError);
      try {
        v.parseHeader(bytes, 4096);
      } catch (error) {
        expect((error as v.VfioUserError).fatal).toBe(true);
      }
    }
  });
});

describe('VERSION', () => {
  const payload = (text: string, nul = true): Uint8Array =>
    new Uint8Array([0, 0, 1, 0, ...Buffer.from(text), ...(nul ? [0] : [])]);

  it('has the values of the specification where it says nothing', () => {
    const expected = { major: 0, minor: 1, capabilities: v.defaultCapabilities };
    for (const text of ['{}', '{"capabilities":{}}', '{"other": 1}'])
      expect(v.parseVersion(payload(text))).toEqual(expected);
    expect(v.parseVersion(bytesOf('0000 0100'))).toEqual(expected);
    expect(v.defaultCapabilities.max_data_xfer_size).toBe(1_048_576);
    expect(v.defaultCapabilities.max_dma_maps).toBe(65_535);
  });

  it('carries capabilities as JSON', () => {
    const text =
      '{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":65536,"pgsizes":4096,"write_multiple":true,' +
      '"twin_socket":{"supported":true,"fd_index":0}}}';
    const { capabilities } = v.parseVersion(payload(text));
    expect(capabilities).toEqual({
      max_msg_fds: 8,
      max_data_xfer_size: 65_536,
      max_dma_maps: 65_535,
      pgsizes: 4096,
      write_multiple: true,
      twin_socket: { supported: true, fd_index: 0 },
    });
    expect(v.parseVersion(v.encodeVersion(0, 1, capabilities)).capabilities).toEqual(capabilities);
  });

  it('is refused if it is malformed', () => {
    const bad = [
      bytesOf('0000 01'),
      payload('{}', false),
      payload('{'),
      payload('[]'),
      payload('{"capabilities":[]}'),
      payload('{"capabilities":{"max_msg_fds":-1}}'),
      payload('{"capabilities":{"max_msg_fds":"8"}}'),
      payload('{"capabilities":{"max_data_xfer_size":0}}'),
      payload('{"capabilities":{"max_data_xfer_size":1e300}}'),
      payload('{"capabilities":{"twin_socket":{"supported":1}}}'),
      payload(`{"x":"${'y'.repeat(20_000)}"}`),
      new Uint8Array([0, 0, 1, 0, 0x22, 0xff, 0xfe, 0x22, 0]),
    ];
    expect(bad.map((bytes) => refused(() => v.parseVersion(bytes)))).toEqual(bad.map(() => 'EINVAL'));
    expect(refused(() => v.commonVersion({ ...v.parseVersion(payload('{}')), major: 1 }, 1))).toBe('EINVAL');
  });
});

describe('DMA messages', () => {
  const map = '20000000 03000000 0010000000000000 0000100000000000 0000003f00000000';

  it('are as the specification lays them out', () => {
    const parsed = { flags: 3, offset: 0x1000, address: 0x10_0000, size: 0x3f00_0000 };
    expect(v.parseDmaMap(bytesOf(map))).toEqual(parsed);
    expect(hex(v.encodeDmaMap(parsed))).toBe(map.replaceAll(' ', ''));
    const unmap = { flags: 0, address: 0x1_0000_0000, size: 0x2000 };
    expect(hex(v.encodeDmaUnmap(unmap))).toBe('180000000000000000000000010000000020000000000000');
    expect(v.parseDmaUnmap(v.encodeDmaUnmap(unmap))).toEqual(unmap);
    const data = bytesOf('0102 0304');
    const access = v.encodeDmaAccess(0x1000, 4, data);
    expect(hex(access)).toBe('0010000000000000040000000000000001020304');
    expect(v.parseDmaAccess(access, true, 4096)).toEqual({ address: 0x1000, count: 4, data });
  });

  it('are refused if they are cut, wrap, or have unknown flags', () => {
    const change = (at: number, value: string): Uint8Array => {
      const bytes = bytesOf(map);
      bytes.set(bytesOf(value), at);
      return bytes;
    };
    const bad = [
      bytesOf(map).subarray(1),
      new Uint8Array([...bytesOf(map), 0]),
      change(0, '1f000000'),
      change(4, '07000000'),
      change(24, '0000000000000000'),
      change(16, '00f0ffffffffffff'),
      change(16, '00f0ffffffff0f00'),
      change(24, 'ffffffffffffffff'),
      change(8, '0000000000001000'),
    ];
    expect(bad.map((bytes) => refused(() => v.parseDmaMap(bytes)))).toEqual(bad.map(() => 'EINVAL'));
    const unmap = (flags: number, address: number, size: number) => () =>
      v.parseDmaUnmap(v.encodeDmaUnmap({ flags, address, size }));
    expect([unmap(1, 0, 4096), unmap(2, 0, 4096), unmap(0, 0, 0), unmap(2, 0, 0)].map(refused)).toEqual([
      ...['EINVAL', 'EINVAL', 'EINVAL', 'accepted'],
    ]);
    const access = v.encodeDmaAccess(0, 4, bytesOf('0102 0304'));
    expect(refused(() => v.parseDmaAccess(access, true, 3))).toBe('EINVAL');
    expect(refused(() => v.parseDmaAccess(access, false, 4096))).toBe('EINVAL');
    expect(refused(() => v.parseDmaAccess(access.subarray(0, 19), true, 4096))).toBe('EINVAL');
  });
});

describe('what a device has', () => {
  it('is told in linux/vfio.h structures', () => {
    expect(hex(v.encodeDeviceInfo({ flags: 3, regions: 9, irqs: 5 }))).toBe(
      '10000000030000000900000005000000',
    );
    expect(v.parseDeviceInfo(v.encodeDeviceInfo({ flags: 3, regions: 9, irqs: 5 }))).toEqual({
      ...{ flags: 3, regions: 9, irqs: 5 },
    });
    expect(hex(v.encodeIrqInfo({ flags: 9, index: 2, count: 32 }))).toBe('10000000090000000200000020000000');
    expect(v.parseIrqInfoQuery(v.encodeIrqInfoQuery(2))).toBe(2);
    expect(v.parseIrqInfo(v.encodeIrqInfo({ flags: 9, index: 2, count: 32 }))).toEqual({
      ...{ flags: 9, index: 2, count: 32 },
    });
  });

  it('says which parts of a region can be mapped, if there is room for that', () => {
    const info = { flags: 7, index: 0, size: 0x4000, offset: 0, areas: [{ offset: 0x1000, size: 0x1000 }] };
    const whole = v.encodeRegionInfo(info, 64);
    expect(hex(whole)).toBe(
      '400000000f0000000000000020000000' +
        '00400000000000000000000000000000' +
        '01000100000000000100000000000000' +
        '00100000000000000010000000000000',
    );
    expect(v.parseRegionInfo(whole)).toEqual({ ...info, flags: 15, needed: 64 });
    const short = v.parseRegionInfo(v.encodeRegionInfo(info, 32 + 8) as Uint8Array);
    expect([short.needed, short.areas]).toEqual([64, []]);
    expect(v.parseRegionInfoQuery(v.encodeRegionInfoQuery(7, 64))).toEqual({ index: 7, argsz: 64 });
    expect(refused(() => v.parseRegionInfoQuery(v.encodeRegionInfoQuery(7, 31)))).toBe('EINVAL');
  });

  it('is refused with capabilities that lie outside, or in a circle', () => {
    const info = { flags: 7, index: 0, size: 0x4000, offset: 0, areas: [{ offset: 0x1000, size: 0x1000 }] };
    const change = (at: number, value: number): Uint8Array => {
      const bytes = v.encodeRegionInfo(info, 64);
      new DataView(bytes.buffer).setUint32(at, value, true);
      return bytes;
    };
    const circle = change(36, 32);
    circle[32] = 9;
    const bad = [change(12, 60), change(12, 16), change(40, 2), change(40, 0xffff_ffff), circle];
    expect(bad.map((bytes) => refused(() => v.parseRegionInfo(bytes)))).toEqual(bad.map(() => 'EINVAL'));
  });
});

describe('SET_IRQS', () => {
  const counts = [1, 0, 32, 1, 1];
  const set = { data: v.IrqData.eventfd, action: v.IrqAction.trigger, index: 2, start: 4, count: 2 };

  it('names one kind of data, one action, and interrupts that there are', () => {
    const bytes = v.encodeIrqSet(set);
    expect(hex(bytes)).toBe('1400000024000000020000000400000002000000');
    expect(v.parseIrqSet(bytes, counts, 2)).toEqual({ ...set, bools: new Uint8Array(0) });
    expect(v.parseIrqSet(bytes, counts, 0).count).toBe(2);
    const disable = { ...set, data: v.IrqData.none, start: 0, count: 0 };
    expect(v.parseIrqSet(v.encodeIrqSet(disable), counts, 0).count).toBe(0);
  });

  it('is refused otherwise', () => {
    const bad: [Partial<Parameters<typeof v.encodeIrqSet>[0]>, number][] = [
      [{ data: 0 }, 0],
      [{ data: 3 }, 0],
      [{ action: 0 }, 2],
      [{ action: 24 }, 2],
      [{ action: 64 }, 2],
      [{ index: 5 }, 2],
      [{ index: 1 }, 2],
      [{ start: 31 }, 2],
      [{ start: 0xffff_ffff }, 2],
      [{ count: 0 }, 0],
      [{}, 1],
      [{}, 3],
      [{ data: v.IrqData.none }, 2],
      [{ data: v.IrqData.bool, bools: new Uint8Array(1) }, 0],
    ];
    const seen = bad.map(([change, fds]) =>
      refused(() => v.parseIrqSet(v.encodeIrqSet({ ...set, ...change }), counts, fds)),
    );
    expect(seen).toEqual(bad.map(() => 'EINVAL'));
    expect(refused(() => v.parseIrqSet(v.encodeIrqSet(set).subarray(0, 19), counts, 2))).toBe('EINVAL');
  });
});

describe('region accesses', () => {
  it('bring as many bytes as they say', () => {
    const data = bytesOf('78563412');
    const write = v.encodeRegionAccess(0x1000, 0, 4, data);
    expect(hex(write)).toBe('0010000000000000000000000400000078563412');
    expect(v.parseRegionAccess(write, true, 64)).toEqual({ offset: 0x1000, region: 0, count: 4, data });
    expect(refused(() => v.parseRegionAccess(write, true, 3))).toBe('EINVAL');
    expect(refused(() => v.parseRegionAccess(write, false, 64))).toBe('EINVAL');
    expect(refused(() => v.parseRegionAccess(write.subarray(0, 19), true, 64))).toBe('EINVAL');
    expect(refused(() => v.parseRegionAccess(v.encodeRegionAccess(0, 0, 0), false, 64))).toBe('EINVAL');
  });

  it('come several in one message', () => {
    const writes = [
      { offset: 0x1000, region: 0, data: bytesOf('01000000') },
      { offset: 0x1008, region: 0, data: bytesOf('0200000003000000') },
    ];
    const bytes = v.encodeRegionWriteMulti(writes);
    expect(bytes.length).toBe(8 + 2 * 24);
    expect(v.parseRegionWriteMulti(bytes)).toEqual(writes.map((w) => ({ ...w, count: w.data.length })));
    expect(v.parseRegionWriteMultiReply(v.encodeRegionWriteMultiReply(2))).toBe(2);
    for (const [at, value] of [
      [0, 3],
      [0, 0xffff_ffff],
      [20, 9],
      [20, 0],
    ] as const) {
      const bad = bytes.slice();
      new DataView(bad.buffer).setUint32(at, value, true);
      expect(refused(() => v.parseRegionWriteMulti(bad))).toBe('EINVAL');
    }
  });
});
