// What hosts are told of I/O command sets, through NVMe/TCP.
import {
  cns,
  csi,
  decodeCommandEffects,
  decodeIoCommandSets,
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  fid,
} from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RawHost, read } from '../host/index.ts';
import { CommandSetTarget, createMallocs, DNR } from './command-set-target.ts';

const ZONE = 64;
const CAPACITY = 48;
const ZONES = 16;

let sets: CommandSetTarget;
let host: RawHost;
let nsids: Readonly<Record<string, number>>;
beforeAll(async () => {
  sets = await CommandSetTarget.start(async (target) => {
    await createMallocs(target, [
      {
        ...{ name: 'Zoned', num_blocks: ZONE * ZONES, zone_size: ZONE, zone_capacity: CAPACITY },
        ...{ max_open_zones: 2, max_active_zones: 3 },
      },
      { name: 'Base' },
      { name: 'Plain' },
      { name: 'Type1', md_size: 8, md_interleave: true, dif_type: 1 },
    ]);
    await target.rpc('bdev_zone_block_create', {
      ...{ name: 'ZoneBlock', base_bdev: 'Base', zone_capacity: 100, optimal_open_zones: 1 },
    });
    const small = { max_value_len: 200_000, max_num_keys: 50 };
    await target.rpc('bdev_malloc_kv_create', { name: 'Kv', block_size: 512, num_blocks: 1024, ...small });
    await target.createFileBdev('Log', 16 << 20, 512);
    await target.rpc('bdev_kv_create', { name: 'KvLog', base_bdev_name: 'Log', max_value_len: 100_000 });
    return ['Plain', 'Type1', 'Zoned', 'ZoneBlock', 'Kv', 'KvLog'];
  });
  ({ host, nsids } = sets);
});
afterAll(() => sets?.stop());

describe('what is told of command sets', () => {
  it('is one combination of all three, and of each namespace its own', async () => {
    expect(decodeIoCommandSets(await host.identify(cns.ioCommandSets))).toEqual([7]);
    const expected = {
      Plain: csi.nvm,
      Type1: csi.nvm,
      Zoned: csi.zoned,
      ZoneBlock: csi.zoned,
      Kv: csi.keyValue,
    };
    for (const [name, set] of Object.entries(expected)) {
      const ids = await host.identify(cns.namespaceDescriptors, nsids[name]);
      expect(decodeNamespaceDescriptors(ids).csi, name).toBe(set);
    }
    const listed = async (set: number) =>
      decodeNamespaceList(await host.identify(cns.csiActiveNamespaceList, 0, set));
    expect(await listed(csi.zoned)).toEqual([nsids['Zoned'], nsids['ZoneBlock']]);
    expect(await listed(csi.keyValue)).toEqual([nsids['Kv'], nsids['KvLog']]);
    expect(await listed(csi.nvm)).not.toContain(nsids['Kv']);
  });

  it('is in the log page of effects for each set', async () => {
    const opcodes = async (set: number) => {
      const { data } = await host.admin.submitRead(
        { opcode: 2, cdw10: (5 | (1023 << 16)) >>> 0, cdw14: (set << 24) >>> 0, psdt: 1 },
        4096,
      );
      return [...decodeCommandEffects(data).io.keys()];
    };
    const reservations = [0x0d, 0x0e, 0x11, 0x15];
    expect(await opcodes(csi.nvm)).toEqual([0, 1, 2, 5, 8, 9, 0x0c, ...reservations, 0x19, 0x7f]);
    expect(await opcodes(csi.zoned)).toEqual([0, 1, 2, 5, 8, 0x0c, ...reservations, 0x79, 0x7a, 0x7d, 0x7f]);
    expect(await opcodes(csi.keyValue)).toEqual([0, 1, 2, 6, 0x0d, 0x0e, 0x10, 0x11, 0x14, 0x15, 0x7f]);
    const fields = { opcode: 2, cdw10: (5 | (1023 << 16)) >>> 0, cdw14: (3 << 24) >>> 0, psdt: 1 };
    expect((await host.admin.submitRead(fields, 4096)).status).toBe(0x002 | DNR);
  });

  it('is refused where it is of another set', async () => {
    const status = (what: number, nsid: number, set: number) =>
      host.identify(what, nsid, set).then(
        () => 0,
        (error) => error.completion.status,
      );
    expect(await status(cns.namespace, nsids['Kv']!, 0)).toBe(0x12c | DNR);
    expect(await status(cns.csiNamespace, nsids['Kv']!, csi.zoned)).toBe(0x002 | DNR);
    expect(await status(cns.csiNamespace, nsids['Plain']!, csi.keyValue)).toBe(0x002 | DNR);
    expect(await status(cns.csiController, 0, 3)).toBe(0x002 | DNR);
    expect(await status(cns.csiController, 0, csi.keyValue)).toBe(0);
    const profile = { opcode: 9, cdw10: fid.ioCommandSetProfile, psdt: 1 };
    expect((await host.admin.submit({ ...profile, cdw11: 0 })).status).toBe(0);
    expect((await host.admin.submit({ ...profile, cdw11: 1 })).status).toBe(0x12b | DNR);
  });

  it('leaves a host that has not enabled them with plain blocks', async () => {
    const { host: other, queue: io } = await sets.plainHost();
    const seen = decodeNamespaceList(await other.identify(cns.activeNamespaceList));
    expect(seen).toContain(nsids['Type1']);
    for (const name of ['Zoned', 'ZoneBlock', 'Kv', 'KvLog']) {
      expect(seen).not.toContain(nsids[name]);
      expect((await read(io, 0, 512, { nsid: nsids[name]! })).status).toBe(0x00b | DNR);
    }
    other.close();
  });
});
