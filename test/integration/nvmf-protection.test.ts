// Namespaces with protection information through NVMe/TCP.
import { Dif, Pieces } from '@spdk-ts/dif';
import { cns, fid, identifyNamespace, identifyNamespaceNvm, nvmOpcode, rwFlag } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pattern, type RawHost, type RawQueue } from '../host/index.ts';
import { at, CommandSetTarget, createMallocs, DNR } from './command-set-target.ts';

const dif = { md_size: 8, md_interleave: true, dif_pi_format: 0 };
const mallocs = [
  { name: 'Type1', ...dif, dif_type: 1 },
  { name: 'Type2', ...dif, dif_type: 2, md_size: 16, dif_is_head_of_md: true },
  { name: 'Type3', ...dif, dif_type: 3 },
  { name: 'Guard32', ...dif, md_size: 16, dif_type: 1, dif_pi_format: 1 },
  { name: 'Guard64', ...dif, md_size: 16, dif_type: 2, dif_pi_format: 2 },
  { name: 'Metadata', ...dif, dif_type: 0 },
];

let sets: CommandSetTarget;
let queue: RawQueue;
let host: RawHost;
let nsids: Readonly<Record<string, number>>;
beforeAll(async () => {
  sets = await CommandSetTarget.start(async (target) => {
    await createMallocs(target, mallocs);
    return mallocs.map(({ name }) => name);
  });
  ({ queue, host, nsids } = sets);
});
afterAll(() => sets?.stop());

describe('protection information', () => {
  const GUARD = 0x282;
  const REFTAG = 0x284;
  const APPTAG = 0x283;
  const all = rwFlag.prchkGuard | rwFlag.prchkReferenceTag;
  const words = (lba: number, tag = lba) => ({ ...at(lba), cdw14: tag });

  /** Commands at a namespace, and blocks as they are with their protection information. */
  function protectedNamespace(name: string) {
    const options = mallocs.find((malloc) => malloc.name === name) as unknown as typeof dif & {
      dif_type: number;
      dif_is_head_of_md?: boolean;
    };
    const block_size = 512 + options.md_size;
    const maker = new Dif({ dif_is_head_of_md: false, ...options, block_size });
    const ns = () => ({ nsid: nsids[name]!, psdt: 1 });
    const run = (opcode: number, lba: number, blocks: number, flags: number, data: Uint8Array, more = {}) => {
      const fields = { opcode, ...ns(), ...words(lba), cdw12: (flags | (blocks - 1)) >>> 0, ...more };
      if (opcode === nvmOpcode.read) return queue.submitRead(fields, data.length);
      return data.length <= 4096 ? queue.submit(fields, data) : queue.submitR2t(fields, data);
    };
    /** Whole blocks of plain data. */
    const blocksOf = async (data: Uint8Array, lba: number, app_tag = 0) => {
      const count = data.length / 512;
      const out = new Uint8Array(count * block_size);
      const tags = { ref_tag: lba, app_tag, app_tag_mask: 0xffff };
      maker.insert(Pieces.of(data), Pieces.of(out), null, count, tags);
      return out;
    };
    return { block_size, run, blocksOf, ns };
  }

  it.each([
    ['Type1', 8, 0x11, 1, 0],
    ['Type2', 16, 0x0a, 2 | 8, 0],
    ['Type3', 8, 0x14, 3, 0],
    ['Guard32', 16, 0x11, 1, 0x80 | 16],
    ['Guard64', 16, 0x12, 2, 0x100],
    ['Metadata', 8, 0, 0, 0],
  ])('is identified: %s', async (name, ms, dpc, dps, elbaf) => {
    const ns = identifyNamespace.decode(await host.identify(cns.namespace, nsids[name]!));
    expect(ns).toMatchObject({ nsze: 8192, flbas: 0x10, mc: 1, dpc, dps });
    expect(ns.lbaf[0]).toEqual({ ms, lbads: 9, rp: 0 });
    const nvm = identifyNamespaceNvm.decode(await host.identify(cns.csiNamespace, nsids[name]!));
    expect(nvm.elbaf[0]).toBe(elbaf);
  });

  it('of wider guards is for hosts that know of it', async () => {
    const { run, block_size } = protectedNamespace('Guard64');
    const whole = new Uint8Array(block_size);
    expect((await run(nvmOpcode.read, 0, 1, 0, whole)).status).toBe(0x00b | DNR);
    const behavior = new Uint8Array(512);
    behavior[2] = 1;
    const set = { opcode: 9, cdw10: fid.hostBehaviorSupport, psdt: 1 };
    expect((await host.admin.submit(set, behavior)).status).toBe(0);
    expect((await run(nvmOpcode.read, 0, 1, 0, whole)).status).toBe(0);
  });

  it.each(['Type1', 'Type2', 'Type3', 'Guard32', 'Guard64'])('travels with the blocks: %s', async (name) => {
    const { run, blocksOf, block_size } = protectedNamespace(name);
    const checks = name === 'Type3' ? rwFlag.prchkGuard : all;
    for (const [lba, blocks] of [
      [10, 1],
      [20, 8],
      [100, 200],
    ] as const) {
      const data = await blocksOf(pattern(blocks * 512, lba), lba, 0x1234);
      expect((await run(nvmOpcode.write, lba, blocks, checks, data)).status).toBe(0);
      const back = await run(nvmOpcode.read, lba, blocks, checks, data);
      expect([back.status, Buffer.compare(back.data, data)]).toEqual([0, 0]);
      expect((await run(nvmOpcode.compare, lba, blocks, checks, data)).status).toBe(0);
      expect((await run(nvmOpcode.verify, lba, blocks, checks, new Uint8Array(0))).status).toBe(0);
    }
    const wrong = await blocksOf(pattern(1024, 1), 30, 0x1234);
    wrong[block_size + 5] = wrong[block_size + 5]! ^ 1;
    expect((await run(nvmOpcode.write, 30, 2, checks, wrong)).status).toBe(GUARD);
    expect((await run(nvmOpcode.write, 30, 2, 0, wrong)).status, 'unchecked').toBe(0);
    expect((await run(nvmOpcode.read, 30, 2, checks, wrong)).status).toBe(GUARD);
    expect((await run(nvmOpcode.verify, 30, 2, checks, new Uint8Array(0))).status).toBe(GUARD);
    expect((await run(nvmOpcode.read, 30, 2, 0, wrong)).status).toBe(0);
    const tagged = { cdw15: 0xffff_4321 };
    const app = rwFlag.prchkApplicationTag;
    expect((await run(nvmOpcode.read, 10, 1, app, new Uint8Array(block_size), tagged)).status).toBe(APPTAG);
    const right = { cdw15: 0xffff_1234 };
    expect((await run(nvmOpcode.read, 10, 1, app, new Uint8Array(block_size), right)).status).toBe(0);
  });

  it('has reference tags that count from what its type says', async () => {
    const one = protectedNamespace('Type1');
    const reference = rwFlag.prchkReferenceTag;
    const moved = await one.blocksOf(pattern(512, 1), 41);
    expect((await one.run(nvmOpcode.write, 40, 1, reference, moved)).status).toBe(REFTAG);
    expect((await one.run(nvmOpcode.write, 40, 1, reference, moved, { cdw14: 41 })).status).toBe(0x181 | DNR);
    const two = protectedNamespace('Type2');
    const any = await two.blocksOf(pattern(1024, 1), 7000);
    expect((await two.run(nvmOpcode.write, 40, 2, all, any, { cdw14: 7000 })).status).toBe(0);
    expect((await two.run(nvmOpcode.read, 40, 2, all, any, { cdw14: 7000 })).status).toBe(0);
    expect((await two.run(nvmOpcode.read, 40, 2, all, any, { cdw14: 7001 })).status).toBe(REFTAG);
    const three = protectedNamespace('Type3');
    const some = await three.blocksOf(pattern(512, 1), 5);
    expect((await three.run(nvmOpcode.write, 40, 1, reference, some)).status).toBe(0x181 | DNR);
  });

  it.each([
    ['Type1', 512],
    ['Type3', 512],
    ['Guard32', 512],
    ['Type2', 528],
  ])('is inserted and stripped where the controller acts: %s', async (name, size) => {
    const { run, blocksOf, block_size } = protectedNamespace(name);
    const checks = name === 'Type3' ? rwFlag.prchkGuard : all;
    const plainOf = (data: Uint8Array) => data.filter((_, i) => i % size < 512);
    for (const [lba, blocks] of [
      [50, 1],
      [60, 7],
      [400, size === 512 ? 256 : 240],
    ] as const) {
      const data = pattern(blocks * size, lba);
      const tags = { cdw15: 0xffff_0077 };
      const pract = rwFlag.pract;
      expect((await run(nvmOpcode.write, lba, blocks, pract | checks, data, tags)).status).toBe(0);
      const back = await run(nvmOpcode.read, lba, blocks, pract | checks, data, tags);
      expect(back.status).toBe(0);
      expect(Buffer.compare(plainOf(back.data), plainOf(data))).toBe(0);
      // What has been inserted is what a host would have sent.
      const whole = new Uint8Array(Math.min(blocks, 8) * block_size);
      const raw = await run(nvmOpcode.read, lba, Math.min(blocks, 8), checks, whole);
      expect(raw.status).toBe(0);
      if (size === 512) {
        const expected = await blocksOf(
          data.subarray(0, Math.min(blocks, 8) * 512),
          name === 'Type3' ? lba : lba,
          0x77,
        );
        expect(Buffer.compare(raw.data, expected)).toBe(0);
        expect((await run(nvmOpcode.compare, lba, blocks, pract | checks, data)).status).toBe(0);
        data[data.length - 1] = data[data.length - 1]! ^ 1;
        expect((await run(nvmOpcode.compare, lba, blocks, pract | checks, data)).status).toBe(0x285);
      }
    }
    const bad = { cdw15: 0xffff_0078 };
    const app = rwFlag.pract | rwFlag.prchkApplicationTag;
    expect((await run(nvmOpcode.read, 50, 1, app, new Uint8Array(size), bad)).status).toBe(APPTAG);
  });

  it('is made for zeroes with PRACT, and zero without; deallocated blocks pass every check', async () => {
    const { run, ns, block_size } = protectedNamespace('Type1');
    const nothing = new Uint8Array(0);
    const whole = new Uint8Array(3 * block_size);
    await run(nvmOpcode.write, 70, 3, rwFlag.pract, pattern(1536, 1));
    expect((await run(nvmOpcode.writeZeroes, 70, 3, rwFlag.pract, nothing)).status).toBe(0);
    const zeroes = await run(nvmOpcode.read, 70, 3, all, whole);
    expect([zeroes.status, zeroes.data.readUInt32BE(block_size + 516)]).toEqual([0, 71]);
    expect((await run(nvmOpcode.writeZeroes, 70, 3, 0, nothing)).status).toBe(0);
    const raw = await run(nvmOpcode.read, 70, 3, 0, whole);
    expect([raw.status, raw.data.every((byte) => byte === 0)]).toEqual([0, true]);
    expect((await run(nvmOpcode.read, 71, 1, all, new Uint8Array(block_size))).status).toBe(REFTAG);
    expect((await run(nvmOpcode.writeZeroes, 70, 3, rwFlag.deac, nothing)).status).toBe(0x002 | DNR);
    const range = new Uint8Array(16);
    new DataView(range.buffer).setUint32(4, 3, true);
    new DataView(range.buffer).setUint32(8, 70, true);
    expect(
      (await queue.submit({ opcode: nvmOpcode.datasetManagement, ...ns(), cdw11: 4 }, range)).status,
    ).toBe(0);
    expect((await run(nvmOpcode.read, 70, 3, rwFlag.pract | all, new Uint8Array(1536))).status).toBe(0);
    expect((await run(nvmOpcode.verify, 70, 3, rwFlag.pract, nothing)).status, 'PRACT').toBe(0x002 | DNR);
  });

  it('of metadata without any is none: blocks travel as they are', async () => {
    const { run, block_size } = protectedNamespace('Metadata');
    const data = pattern(8 * block_size, 3);
    expect((await run(nvmOpcode.write, 5, 8, all, data)).status).toBe(0);
    const back = await run(nvmOpcode.read, 5, 8, all, data);
    expect([back.status, Buffer.compare(back.data, data)]).toEqual([0, 0]);
    expect((await run(nvmOpcode.read, 5, 8, 0, data.subarray(0, 4096))).status).toBe(0x00f | DNR);
  });
});
