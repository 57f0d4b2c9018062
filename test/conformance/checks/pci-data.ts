/** Where data are in a PCI host's memory: PRPs (Base 2.0, 4.1.1) and SGLs (4.1.2). */
import { nvmOpcode, type SqeFields, sglId, sgls } from '@spdk-ts/nvme-spec';
import type { Completion } from '../../host/index.ts';
import { BASE } from '../../vfio-user-host/index.ts';
import { PAGE_BYTES } from '../../vfio-user-host/pages.ts';
import { bare, type PciDriver } from '../../vfio-user-host/pci-driver.ts';
import {
  all,
  type Check,
  hasStatus,
  holds,
  type Outcome,
  pciCheck,
  type Row,
  succeeded,
  type Unless,
  wordsOf,
} from '../check.ts';
import { generic } from '../codes.ts';
import { bytesOf, fill, rangeFields } from '../io.ts';
import { OUTSIDE, pciRow } from '../pci.ts';
import type { PciBench } from '../pci-bench.ts';

const PRP = 'Base 2.0, 4.1.1';
const SGL = 'Base 2.0, 4.1.2';
const hasSgls: Unless = ({ controller }) =>
  (controller.sgls & 3) === 0 ? 'I/O commands have no SGLs (SGLS)' : '';

/** Memory for the data of a read, and a way to send it. */
interface Place {
  readonly host: PciDriver;
  /** Sixteen pages in one piece. */
  readonly at: number;
  /** The same for lists and segments. */
  readonly list: number;
  /** Blocks of four pages, and of the whole. */
  readonly blocks: (pages: number) => number;
  /** Reads so many pages from block 0 on. */
  readonly read: (pages: number, pointers: Partial<SqeFields>) => Promise<Completion>;
  /** Writes entries of eight bytes. */
  readonly entries: (address: number, values: readonly number[]) => void;
  /** Writes SGL descriptors. */
  readonly descriptors: (address: number, list: readonly Descriptor[]) => void;
  readonly bytes: (address: number, length: number) => Buffer;
}
type Descriptor = readonly [identifier: number, address: number, length: number];

const PAGES = 16;
const FILLED = 8;

async function place(bench: PciBench): Promise<Place> {
  const { host, queue } = await bench.pair();
  const view = new DataView(host.pci.memory.buffer);
  const per_page = PAGE_BYTES / bytesOf(bench, 1);
  const put = (at: number, value: number): void => view.setBigUint64(at - BASE, BigInt(value), true);
  return {
    ...{ host, at: host.pages.take(PAGES), list: host.pages.take(PAGES) },
    blocks: (pages) => pages * per_page,
    read: (pages, pointers) =>
      bare(queue, {
        ...rangeFields(bench, nvmOpcode.read, { blocks: pages * per_page, psdt: 0 }),
        ...pointers,
      }),
    entries: (address, values) => {
      for (const [i, value] of values.entries()) put(address + i * 8, value);
    },
    descriptors: (address, list) => {
      for (const [i, [identifier, to, length]] of list.entries()) {
        put(address + i * 16, to);
        view.setUint32(address - BASE + i * 16 + 8, length, true);
        view.setUint32(address - BASE + i * 16 + 12, (identifier << 24) >>> 0, true);
      }
    },
    bytes: (address, length) => Buffer.from(host.pci.memory.slice(address - BASE, address - BASE + length)),
  };
}

const sgl = ([identifier, address, length]: Descriptor): Partial<SqeFields> => ({
  psdt: 1,
  sgl1: { identifier, address, length },
});

/** A read that must not go well. */
const bad = (of: Row, codes: readonly number[], send: (place: Place) => Promise<Completion>): Check =>
  pciCheck(of, wordsOf(codes), async (bench) => hasStatus(await send(await place(bench)), codes));

/** A read of so many pages, in whose pieces the data must be. */
const good = (
  of: Row,
  pages: number,
  send: (place: Place) => { done: Promise<Completion>; pieces: readonly (readonly [number, number])[] },
): Check =>
  pciCheck(of, 'success, and the data in each of them', async (bench): Promise<Outcome> => {
    const where = await place(bench);
    const data = await fill(await bench.io(), bench, 0, where.blocks(FILLED), 77);
    const { done, pieces } = send(where);
    const completion = await done;
    const got = Buffer.concat(pieces.map(([address, length]) => where.bytes(address, length)));
    return all(
      succeeded(completion),
      holds(got.equals(data.subarray(0, pages * PAGE_BYTES)), 'the data, compared'),
    );
  });

const offset = [generic.prpOffsetInvalid, generic.invalidField];
const noMemory = [generic.dataTransferError];
const prps = [
  good(pciRow('prp.offset', PRP, 'PRP1 at an offset, PRP2 a page'), 1, ({ at, read }) => ({
    done: read(1, { prp1: at + 512, prp2: at + 2 * PAGE_BYTES }),
    pieces: [
      [at + 512, PAGE_BYTES - 512],
      [at + 2 * PAGE_BYTES, 512],
    ],
  })),
  good(pciRow('prp.two-pages', PRP, 'PRP1 and PRP2, pages in the reverse order'), 2, ({ at, read }) => ({
    done: read(2, { prp1: at + PAGE_BYTES, prp2: at }),
    pieces: [
      [at + PAGE_BYTES, PAGE_BYTES],
      [at, PAGE_BYTES],
    ],
  })),
  good(
    pciRow('prp.list', PRP, 'A PRP list, at an offset within its page'),
    4,
    ({ at, list, read, entries }) => {
      const pages = [5, 3, 1].map((i) => at + i * PAGE_BYTES);
      entries(list + 64, pages);
      return {
        done: read(4, { prp1: at, prp2: list + 64 }),
        pieces: [at, ...pages].map((address) => [address, PAGE_BYTES] as const),
      };
    },
  ),
  good(
    pciRow('prp.list-chained', PRP, 'A PRP list whose last entry of a page leads to the next page of it'),
    4,
    ({ at, list, read, entries }) => {
      const pages = [5, 3, 1].map((i) => at + i * PAGE_BYTES);
      entries(list + PAGE_BYTES - 16, [pages[0]!, list + 4 * PAGE_BYTES]);
      entries(list + 4 * PAGE_BYTES, pages.slice(1));
      return {
        done: read(4, { prp1: at, prp2: list + PAGE_BYTES - 16 }),
        pieces: [at, ...pages].map((address) => [address, PAGE_BYTES] as const),
      };
    },
  ),
  bad(
    pciRow('prp.unaligned', PRP, 'PRP1 at an odd address', { severity: 'may' }),
    [0, ...offset],
    ({ at, read }) => read(1, { prp1: at + 1, prp2: at + PAGE_BYTES }),
  ),
  bad(pciRow('prp.second-offset', PRP, 'PRP2, a page, at an offset'), offset, ({ at, read }) =>
    read(2, { prp1: at, prp2: at + PAGE_BYTES + 512 }),
  ),
  bad(
    pciRow('prp.list-offset', PRP, 'An entry of a PRP list with an offset'),
    offset,
    ({ at, list, read, entries }) => {
      entries(list, [at + PAGE_BYTES, at + 2 * PAGE_BYTES + 4, at + 3 * PAGE_BYTES]);
      return read(4, { prp1: at, prp2: list });
    },
  ),
  bad(
    pciRow('prp.list-unaligned', PRP, 'A PRP list at an address that is no multiple of eight', {
      severity: 'may',
    }),
    [0, ...offset, ...noMemory],
    ({ at, list, read, entries }) => {
      entries(list + 4, [at + PAGE_BYTES, at + 2 * PAGE_BYTES, at + 3 * PAGE_BYTES]);
      return read(4, { prp1: at, prp2: list + 4 });
    },
  ),
  bad(pciRow('prp.outside', PRP, 'PRP1 where there is no memory'), noMemory, ({ read }) =>
    read(1, { prp1: OUTSIDE }),
  ),
  bad(pciRow('prp.second-outside', PRP, 'PRP2 where there is no memory'), noMemory, ({ at, read }) =>
    read(2, { prp1: at, prp2: OUTSIDE }),
  ),
  bad(pciRow('prp.list-outside', PRP, 'A PRP list where there is no memory'), noMemory, ({ at, read }) =>
    read(4, { prp1: at, prp2: OUTSIDE }),
  ),
  bad(
    pciRow('prp.entry-outside', PRP, 'An entry of a PRP list that leads to no memory'),
    noMemory,
    ({ at, list, read, entries }) => {
      entries(list, [at + PAGE_BYTES, OUTSIDE, at + 3 * PAGE_BYTES]);
      return read(4, { prp1: at, prp2: list });
    },
  ),
  bad(pciRow('prp.wrapped', PRP, 'PRP1 in the last page of the address space'), noMemory, ({ at, read }) =>
    read(2, { prp1: 2 ** 64 - 2 ** 12, prp2: at }),
  ),
  pciCheck(
    pciRow('prp.circle', PRP, 'A PRP list whose last entry leads to itself', { severity: 'may' }),
    'an answer, whatever its status',
    async (bench) => {
      const { at, list, read, entries } = await place(bench);
      entries(list, Array<number>(PAGE_BYTES / 8).fill(list));
      const done = await read(FILLED, { prp1: at, prp2: list + PAGE_BYTES - 8 });
      return holds(true, `status ${done.status.toString(16)}h`);
    },
  ),
];

const type = [generic.sglDescriptorTypeInvalid];
const segment = [generic.invalidSglSegmentDescriptor];
const length = [generic.dataSglLengthInvalid];
const list = (id: string, title: string, more: Partial<Row> = {}): Row =>
  pciRow(`sgl.${id}`, SGL, title, { unless: hasSgls, ...more });

const badSgls = [
  bad(list('short', 'A data block of half the data'), length, ({ at, read }) =>
    read(2, sgl([sglId.dataBlock, at, PAGE_BYTES])),
  ),
  bad(
    list('long', 'A data block of twice the data', {
      unless: (facts) =>
        hasSgls(facts) || (facts.controller.sgls & sgls.oversized ? 'SGLs may be longer (SGLS bit 18)' : ''),
    }),
    length,
    ({ at, read }) => read(1, sgl([sglId.dataBlock, at, 2 * PAGE_BYTES])),
  ),
  bad(list('outside', 'A data block where there is no memory'), noMemory, ({ read }) =>
    read(1, sgl([sglId.dataBlock, OUTSIDE, PAGE_BYTES])),
  ),
  bad(list('wrapped', 'A data block across the end of the address space'), noMemory, ({ read }) =>
    read(2, sgl([sglId.dataBlock, 2 ** 64 - 2 ** 12, 2 * PAGE_BYTES])),
  ),
  bad(
    list('in-capsule', 'A data block at an offset of a capsule, which there is not'),
    [...type, generic.sglOffsetInvalid, generic.invalidUseOfCmb],
    ({ read }) => read(1, sgl([sglId.inCapsule, 0, PAGE_BYTES])),
  ),
  bad(list('keyed', 'A keyed data block'), type, ({ at, read }) =>
    read(1, sgl([sglId.keyedDataBlock, at, PAGE_BYTES])),
  ),
  bad(list('transport', 'A transport data block'), type, ({ at, read }) =>
    read(1, sgl([sglId.transportDataBlock, at, PAGE_BYTES])),
  ),
  bad(
    list('bit-bucket', 'A bit bucket', {
      unless: (facts) =>
        hasSgls(facts) || (facts.controller.sgls & sgls.bitBucket ? 'they are supported (SGLS bit 16)' : ''),
    }),
    type,
    ({ read }) => read(1, sgl([sglId.bitBucket, 0, PAGE_BYTES])),
  ),
  bad(list('reserved', 'The reserved type 6h'), type, ({ at, read }) => read(1, sgl([0x60, at, PAGE_BYTES]))),
  bad(
    list('dword', 'A data block at an odd address, where SGLS demands dwords', {
      unless: (facts) =>
        hasSgls(facts) ||
        ((facts.controller.sgls & 3) === sgls.supportedDwordAligned ? '' : 'SGLS demands no alignment'),
    }),
    [generic.sglDataBlockGranularityInvalid],
    ({ at, read }) => read(1, sgl([sglId.dataBlock, at + 1, PAGE_BYTES])),
  ),
  bad(list('segment-empty', 'A last segment of no bytes'), segment, ({ list: to, read }) =>
    read(1, sgl([sglId.lastSegment, to, 0])),
  ),
  bad(list('segment-odd', 'A last segment of 24 bytes'), segment, ({ list: to, read }) =>
    read(1, sgl([sglId.lastSegment, to, 24])),
  ),
  bad(list('segment-outside', 'A last segment where there is no memory'), noMemory, ({ read }) =>
    read(1, sgl([sglId.lastSegment, OUTSIDE, 16])),
  ),
  bad(
    list('segment-in-last', 'A last segment that ends with another segment'),
    segment,
    ({ at, list: to, read, descriptors }) => {
      descriptors(to, [
        [sglId.dataBlock, at, PAGE_BYTES / 2],
        [sglId.lastSegment, to, 32],
      ]);
      return read(1, sgl([sglId.lastSegment, to, 32]));
    },
  ),
  bad(
    list('segment-amid', 'A segment within a segment, not at its end'),
    segment,
    ({ at, list: to, read, descriptors }) => {
      descriptors(to, [
        [sglId.segment, to + 512, 16],
        [sglId.dataBlock, at, PAGE_BYTES],
        [sglId.lastSegment, to + 512, 16],
      ]);
      return read(1, sgl([sglId.segment, to, 48]));
    },
  ),
  bad(
    list('circle', 'A segment that leads to itself'),
    [...segment, generic.invalidNumberOfSglDescriptors, ...length],
    ({ at, list: to, read, descriptors }) => {
      descriptors(to, [
        [sglId.dataBlock, at, 0],
        [sglId.segment, to, 32],
      ]);
      return read(1, sgl([sglId.segment, to, 32]));
    },
  ),
  bad(
    list('sum-wrapped', 'Data blocks whose lengths are the data’s only modulo 2^32'),
    [...length, ...noMemory],
    ({ at, list: to, read, descriptors }) => {
      descriptors(to, [
        [sglId.dataBlock, at, 0x8000_0000],
        [sglId.dataBlock, at, 0x8000_0000],
        [sglId.dataBlock, at, PAGE_BYTES],
      ]);
      return read(1, sgl([sglId.lastSegment, to, 48]));
    },
  ),
  bad(list('psdt-3', 'A Read with the reserved PSDT 3'), [generic.invalidField], ({ at, read }) =>
    read(1, { ...sgl([sglId.dataBlock, at, PAGE_BYTES]), psdt: 3 }),
  ),
];

const goodSgls = [
  good(list('block', 'A data block'), 2, ({ at, read }) => ({
    done: read(2, sgl([sglId.dataBlock, at, 2 * PAGE_BYTES])),
    pieces: [[at, 2 * PAGE_BYTES]],
  })),
  good(list('segments', 'A segment, and a last segment'), 2, ({ at, list: to, read, descriptors }) => {
    descriptors(to, [
      [sglId.dataBlock, at + 3 * PAGE_BYTES + 64, PAGE_BYTES],
      [sglId.dataBlock, at, 0],
      [sglId.lastSegment, to + 512, 32],
    ]);
    descriptors(to + 512, [
      [sglId.dataBlock, at + 1024, 512],
      [sglId.dataBlock, at + 6 * PAGE_BYTES, PAGE_BYTES - 512],
    ]);
    return {
      done: read(2, sgl([sglId.segment, to, 48])),
      pieces: [
        [at + 3 * PAGE_BYTES + 64, PAGE_BYTES],
        [at + 1024, 512],
        [at + 6 * PAGE_BYTES, PAGE_BYTES - 512],
      ],
    };
  }),
];

export const pciDataChecks: readonly Check[] = [...prps, ...goodSgls, ...badSgls];
