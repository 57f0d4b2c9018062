// Zoned namespaces through NVMe/TCP, over both kinds of zoned bdevs.
import {
  cns,
  csi,
  decodeZoneReport,
  encodeCopyRange,
  identifyControllerZns,
  identifyNamespace,
  identifyNamespaceZns,
  nvmOpcode,
  ZONE_REPORT_PARTIAL,
  ZONE_SEND_ALL,
  znsOpcode,
  zoneReportOption,
  zoneSendAction,
  zoneState,
} from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Completion, pattern, type RawHost, type RawQueue, read, write } from '../host/index.ts';
import { at, CommandSetTarget, createMallocs, DNR } from './command-set-target.ts';

const ZONE = 64;
const CAPACITY = 48;
const ZONES = 16;

let sets: CommandSetTarget;
let queue: RawQueue;
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
    ]);
    await target.rpc('bdev_zone_block_create', {
      ...{ name: 'ZoneBlock', base_bdev: 'Base', zone_capacity: 100, optimal_open_zones: 1 },
    });
    return ['Zoned', 'ZoneBlock'];
  });
  ({ queue, host, nsids } = sets);
});
afterAll(() => sets?.stop());

describe.each([
  ['Zoned', ZONE, CAPACITY, ZONES],
  ['ZoneBlock', 128, 100, 63],
])('zones of %s', (name, size, capacity, zones) => {
  const ns = () => ({ nsid: nsids[name]!, psdt: 1 });
  const send = async (action: number, zone: number, flags = 0) =>
    (
      await queue.submit({
        ...{ opcode: znsOpcode.zoneManagementSend, ...ns(), ...at(zone * size) },
        cdw13: action | flags,
      })
    ).status;
  const report = async (zone: number, option = 0, room = 4096, flags = 0) => {
    const fields = { opcode: znsOpcode.zoneManagementReceive, ...ns(), ...at(zone * size) };
    const cdw12 = room / 4 - 1;
    const done = await queue.submitRead({ ...fields, cdw12, cdw13: (option << 8) | flags }, room);
    expect(done.status).toBe(0);
    return decodeZoneReport(done.data);
  };
  const state = async (zone: number) => (await report(zone, 0, 128, ZONE_REPORT_PARTIAL)).descriptors[0]!.zs;
  const put = async (lba: number, blocks: number) =>
    (await write(queue, lba, pattern(blocks * 512, lba + 1), ns())).status;
  const append = (zone: number, data: Uint8Array): Promise<Completion> => {
    const fields = {
      opcode: znsOpcode.zoneAppend,
      ...ns(),
      ...at(zone * size),
      cdw12: data.length / 512 - 1,
    };
    return data.length <= 4096 ? queue.submit(fields, data) : queue.submitR2t(fields, data);
  };
  const resetAll = () => send(zoneSendAction.reset, 0, ZONE_SEND_ALL);

  it('are identified', async () => {
    const zns = identifyNamespaceZns.decode(await host.identify(cns.csiNamespace, nsids[name]!, csi.zoned));
    const limits = name === 'Zoned' ? { mar: 2, mor: 1 } : { mar: 0xffff_ffff, mor: 0xffff_ffff };
    expect(zns).toMatchObject({ zoc: 0, ozcs: 1, ...limits });
    expect(zns.lbafe[0]).toEqual({ zsze: size, zdes: 0 });
    const nvm = identifyNamespace.decode(await host.identify(cns.namespace, nsids[name]!));
    expect(nvm).toMatchObject({ nsze: size * zones, flbas: 0 });
    expect(nvm.lbaf[0]).toEqual({ ms: 0, lbads: 9, rp: 0 });
    // The narrowest: 48 blocks of 512 bytes are at least 16 KiB, 2^2 pages.
    const controller = await host.identify(cns.csiController, 0, csi.zoned);
    expect(identifyControllerZns.decode(controller)).toEqual({ zasl: 2 });
  });

  it('are reported, in whole and in part', async () => {
    expect(await resetAll()).toBe(0);
    expect(await put(0, 4)).toBe(0);
    expect(await put(size, capacity)).toBe(0);
    const all = await report(0, 0, 64 * (zones + 1));
    expect(all.zones).toBe(zones);
    expect(all.descriptors.slice(0, 3)).toEqual([
      { zs: zoneState.implicitlyOpened, zcap: capacity, zslba: 0, wp: 4 },
      { zs: zoneState.full, zcap: capacity, zslba: size, wp: null },
      { zs: zoneState.empty, zcap: capacity, zslba: 2 * size, wp: 2 * size },
    ]);
    expect(await report(0, zoneReportOption.full)).toEqual({ zones: 1, descriptors: [all.descriptors[1]] });
    // Two descriptors fit: the header counts all, or those.
    expect(await report(0, zoneReportOption.empty, 192)).toMatchObject({ zones: zones - 2 });
    const part = await report(0, zoneReportOption.empty, 192, ZONE_REPORT_PARTIAL);
    expect([part.zones, part.descriptors.map(({ zslba }) => zslba)]).toEqual([2, [2 * size, 3 * size]]);
    expect((await report(zones - 1)).descriptors).toHaveLength(1);
    const status = async (fields: object, room = 4096) =>
      (
        await queue.submitRead(
          { opcode: znsOpcode.zoneManagementReceive, ...ns(), cdw12: 1023, ...fields },
          room,
        )
      ).status;
    expect(await status({ cdw13: 1 }), 'extended').toBe(0x002 | DNR);
    expect(await status({ cdw13: 0x800 }), 'reporting option').toBe(0x002 | DNR);
    expect(await status(at(size * zones))).toBe(0x080 | DNR);
    expect(await status({}, 2048), 'SGL shorter than NUMD').toBe(0x00f | DNR);
    expect(await status({ cdw12: 14 }), 'shorter than a header').toBe(0x002 | DNR);
  });

  it('go through their states, and refuse what these do not allow', async () => {
    expect(await resetAll()).toBe(0);
    expect(await send(zoneSendAction.open, 0)).toBe(0);
    expect(await state(0)).toBe(zoneState.explicitlyOpened);
    expect(await put(0, 2)).toBe(0);
    expect(await send(zoneSendAction.close, 0)).toBe(0);
    expect(await state(0)).toBe(zoneState.closed);
    expect(await put(1, 1), 'not at the write pointer').toBe(0x1bc | DNR);
    expect(await put(2, capacity), 'over the boundary').toBe(0x1b8 | DNR);
    expect(await send(zoneSendAction.finish, 0)).toBe(0);
    expect(await put(2, 1), 'full').toBe(0x1b9 | DNR);
    expect(await send(zoneSendAction.close, 0), 'transition').toBe(0x1bf | DNR);
    expect(await send(zoneSendAction.offline, 0), 'of a zone that is not read only').toBe(0x1bf | DNR);
    expect(await send(zoneSendAction.reset, 0)).toBe(0);
    const back = await read(queue, 0, 1024, ns());
    expect([back.status, back.data.every((byte) => byte === 0)]).toEqual([0, true]);
    for (const action of [0, 6, zoneSendAction.setDescriptorExtension, zoneSendAction.flushRandomWriteArea])
      expect(await send(action, 0)).toBe(0x002 | DNR);
    const beside = { opcode: znsOpcode.zoneManagementSend, ...ns(), cdw13: zoneSendAction.reset };
    expect((await queue.submit({ ...beside, ...at(1) })).status, 'not a zone').toBe(0x002 | DNR);
    expect((await queue.submit({ ...beside, ...at(size * zones) })).status).toBe(0x080 | DNR);
    expect(await send(zoneSendAction.finish, 0, ZONE_SEND_ALL)).toBe(0);
    expect((await report(0, zoneReportOption.full)).zones, 'none was active').toBe(0);
  });

  it('take appends, and tell where they are', async () => {
    expect(await resetAll()).toBe(0);
    const done = await Promise.all([0, 1, 2].map((i) => append(3, pattern(2048, 50 + i))));
    const places = done.map(({ status, dw0, dw1 }) => [status, dw0, dw1]);
    expect(places.map(([, lba]) => lba).sort()).toEqual([0, 4, 8].map((blocks) => 3 * size + blocks));
    expect(places.every(([status, , high]) => status === 0 && high === 0)).toBe(true);
    for (const [i, { dw0 }] of done.entries())
      expect(Buffer.compare((await read(queue, dw0, 2048, ns())).data, pattern(2048, 50 + i))).toBe(0);
    expect((await append(3, pattern(16_384, 1))).status).toBe(0);
    expect((await append(3, pattern(16_384, 1))).status === 0, 'as far as there is room').toBe(
      name !== 'Zoned',
    );
    const limit = name === 'Zoned' ? 16_384 : 32_768;
    expect((await append(4, pattern(limit + 512, 1))).status, 'more than it takes').toBe(0x002 | DNR);
    const wrong = { opcode: znsOpcode.zoneAppend, ...ns(), cdw12: 0 };
    expect((await queue.submit({ ...wrong, ...at(1) }, pattern(512, 1))).status).toBe(0x002 | DNR);
    expect((await queue.submit({ ...wrong, ...at(size * zones) }, pattern(512, 1))).status).toBe(0x080 | DNR);
    expect((await queue.submit(wrong, pattern(1024, 1))).status).toBe(0x00f | DNR);
  });

  it('are compared, verified and zeroed as blocks are; what has no order is refused', async () => {
    expect(await resetAll()).toBe(0);
    expect(await put(0, 4)).toBe(0);
    const range = { ...ns(), ...at(0), cdw12: 3 };
    const data = pattern(2048, 1);
    expect((await queue.submit({ opcode: nvmOpcode.compare, ...range }, data)).status).toBe(0);
    expect((await queue.submit({ opcode: nvmOpcode.compare, ...range }, pattern(2048, 2))).status).toBe(
      0x285,
    );
    expect((await queue.submit({ opcode: nvmOpcode.verify, ...range })).status).toBe(0);
    expect((await queue.submit({ opcode: nvmOpcode.writeZeroes, ...range, ...at(4) })).status).toBe(0);
    expect((await queue.submit({ opcode: nvmOpcode.writeZeroes, ...range, ...at(4) })).status).toBe(
      0x1bc | DNR,
    );
    expect((await report(0)).descriptors[0]!.wp).toBe(8);
    const source = new Uint8Array(32);
    encodeCopyRange(new DataView(source.buffer), 0, 0, 0, 1);
    const copy = { opcode: nvmOpcode.copy, ...ns(), ...at(8) };
    expect((await queue.submit(copy, source)).status).toBe(0x001 | DNR);
    expect((await queue.submit({ opcode: nvmOpcode.flush, ...ns() })).status).toBe(0);
  });

  it.runIf(name === 'Zoned')('have limits of open and active zones', async () => {
    expect(await resetAll()).toBe(0);
    expect(await send(zoneSendAction.open, 0)).toBe(0);
    expect(await send(zoneSendAction.open, 1)).toBe(0);
    expect(await send(zoneSendAction.open, 2), 'too many open').toBe(0x1be | DNR);
    expect(await put(2 * size, 1), 'too many open').toBe(0x1be | DNR);
    expect(await send(zoneSendAction.close, 0)).toBe(0);
    // A zone without data that is closed stays active here, as the command set allows.
    expect(await put(2 * size, 1)).toBe(0);
    expect(await put(3 * size, 1), 'too many active').toBe(0x1bd | DNR);
    expect(await send(zoneSendAction.close, 0, ZONE_SEND_ALL)).toBe(0);
    expect((await report(0, zoneReportOption.closed)).zones).toBe(3);
    expect(await resetAll()).toBe(0);
    expect((await report(0, zoneReportOption.empty)).zones).toBe(zones);
  });
});
