/** Data transfers: R2T, H2CData and C2HData (TCP Transport 1.0, 3.3 and 3.6.2.8 to 3.6.2.10). */
import {
  fes,
  nvmOpcode,
  pduCccid,
  pduDatal,
  pduDatao,
  pduFlag,
  pduHeaderLength,
  pduTtag,
  pduType,
  sglId,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { type Completion, type Pdu, pattern, type RawQueue, read, write } from '../../host/index.ts';
import {
  all,
  type Check,
  tcpCheck as check,
  holds,
  type Outcome,
  of,
  type Row,
  succeeded,
} from '../check.ts';
import { type Fatal, judge, lastWords } from '../last-words.ts';
import type { TcpBench as Bench } from '../tcp-bench.ts';

const R2T = 'TCP 1.0, 3.6.2.10';
const H2CDATA = 'TCP 1.0, 3.6.2.8';
const C2HDATA = 'TCP 1.0, 3.6.2.9';

/** A write that the check answers itself: its CID, and the R2T that asks for its data. */
interface Asked {
  readonly queue: RawQueue;
  readonly cid: number;
  readonly ttag: number;
  readonly r2t: Pdu;
  readonly done: Promise<Completion>;
  readonly data: Buffer;
}

async function asked(bench: Bench): Promise<Asked> {
  const bytes = bench.r2t_bytes;
  const { nsid, block_size } = bench.facts.ns;
  const { queue } = await bench.pair();
  const cid = queue.newCid();
  const done = queue.expect(cid);
  done.catch(() => {});
  const r2t = new Promise<Pdu>((resolve, reject) => {
    queue.tap = (pdu) => {
      if (pdu.type === pduType.r2t) resolve(pdu);
    };
    void done.then(
      ({ status }) => reject(new Error(`no R2T, but status ${status.toString(16)}h`)),
      (error: Error) => reject(error),
    );
  });
  const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: bytes };
  const cdw12 = bytes / block_size - 1;
  queue.stream.send(queue.capsule({ opcode: nvmOpcode.write, nsid, psdt: 1, cid, sgl1, cdw12 }));
  const first = await r2t;
  return { queue, cid, done, r2t: first, ttag: pduTtag(first.view, 0), data: pattern(bytes, 5) };
}

/** Bytes that end a transfer which has begun. */
function broken(
  row: Row,
  wanted: readonly Fatal[],
  bytes: (asked: Asked) => Uint8Array | Uint8Array[],
): Check {
  const words = wanted.map(({ fes: code, fei }) => `FES ${code}${fei === undefined ? '' : `, FEI ${fei}`}`);
  return check({ ...row, apart: true }, `C2HTermReq with ${words.join(' or ')}`, async (bench) => {
    const begun = await asked(bench);
    begun.queue.lenient = true;
    const parts = bytes(begun);
    begun.queue.stream.send(...(parts instanceof Uint8Array ? [parts] : parts));
    return judge(await lastWords(begun.queue), wanted);
  });
}

const r2tLayout = check(
  { id: 'pdu.r2t.layout', section: R2T, title: 'A write whose data are not in its capsule' },
  'R2T of 24 bytes for this command, from offset 0, for no more than its data, reserved bytes 0',
  async (bench) => {
    const { r2t, cid } = await asked(bench);
    const { view, bytes, hlen, flags } = r2t;
    const length = pduDatal(view, 0);
    return all(
      holds(
        bytes.length === pduHeaderLength.r2t && hlen === pduHeaderLength.r2t,
        `PLEN ${bytes.length}, HLEN ${hlen}`,
      ),
      holds(flags === 0, `FLAGS ${flags}`),
      holds(pduCccid(view, 0) === cid, `CCCID ${pduCccid(view, 0)} for CID ${cid}`),
      holds(pduDatao(view, 0) === 0, `R2TO ${pduDatao(view, 0)}`),
      holds(length > 0 && length <= bench.r2t_bytes && length % 4 === 0, `R2TL ${length}`),
      holds(view.getUint32(20, true) === 0, `reserved dword ${view.getUint32(20, true)}`),
    );
  },
);

/** Large writes: what R2Ts ask for, and how many there are at once. A slow host shows whether the target waits. */
const r2tCover = check(
  { id: 'pdu.r2t.cover', section: R2T, title: 'The largest write, for a host that takes one R2T at once' },
  'R2Ts that ask for every byte once, in order, one after the other',
  async (bench) => {
    const { nsid, block_size } = bench.facts.ns;
    const { queue } = await bench.pair();
    const bytes = Math.min(bench.facts.transfer_max, 1024 * 1024);
    const data = pattern(bytes, 9);
    const cid = queue.newCid();
    let next = 0;
    let outstanding = 0;
    let most = 0;
    let ordered = true;
    queue.tap = ({ type, view }) => {
      if (type !== pduType.r2t) return;
      const from = pduDatao(view, 0);
      const end = from + pduDatal(view, 0);
      ordered &&= from === next;
      next = end;
      most = Math.max(most, ++outstanding);
      setTimeout(() => {
        outstanding--;
        for (let at = from; at < end; at += queue.h2cMax) {
          const part = data.subarray(at, Math.min(end, at + queue.h2cMax));
          queue.stream.send(queue.h2cData(cid, pduTtag(view, 0), at, part, at + part.length === end));
        }
      }, 5);
    };
    const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length: bytes };
    const cdw12 = bytes / block_size - 1;
    const done = queue.expect(cid);
    queue.stream.send(queue.capsule({ opcode: nvmOpcode.write, nsid, psdt: 1, cid, sgl1, cdw12 }));
    return all(
      succeeded(await done),
      holds(
        ordered && next === bytes,
        `${next} of ${bytes} bytes asked for${ordered ? '' : ', out of order'}`,
      ),
      holds(most === 1, `${most} R2Ts at once`),
    );
  },
);

const pieces = [4, 512, 4096].map((size) =>
  check(
    { id: `pdu.h2cdata.pieces-${size}`, section: H2CDATA, title: `Data for an R2T in PDUs of ${size} bytes` },
    'the write succeeds, and its data are read',
    async (bench) => {
      const { nsid, block_size } = bench.facts.ns;
      const { queue } = await bench.pair();
      queue.h2cMax = size;
      const data = pattern(bench.r2t_bytes, size);
      const written = await write(queue, 0, data, { nsid, block_size, way: 'r2t' });
      const back = await read(queue, 0, data.length, { nsid, block_size });
      return all(
        succeeded(written),
        holds(back.data.equals(data), back.data.equals(data) ? 'the same' : 'other data'),
      );
    },
  ),
);

const unaligned = check(
  { id: 'pdu.h2cdata.dword', section: H2CDATA, title: 'H2CData of 510 bytes, although it is not the last' },
  'C2HTermReq with FES 1; or the write goes on and succeeds',
  async (bench) => {
    const { queue, cid, ttag, data, done } = await asked(bench);
    queue.lenient = true;
    queue.stream.send(
      queue.h2cData(cid, ttag, 0, data.subarray(0, 510), false),
      queue.h2cData(cid, ttag, 510, data.subarray(510), true),
    );
    const ended = await Promise.race([done.catch(() => null), lastWords(queue).then(() => null)]);
    if (ended !== null) return succeeded(ended);
    const code = queue.terminated?.view.getUint16(8, true);
    return holds(
      code === fes.invalidHeaderField,
      code === undefined ? 'closed without C2HTermReq' : `FES ${code}`,
    );
  },
);

const invalid = (fei: number): Fatal => ({ fes: fes.invalidHeaderField, fei });
const sequence: Fatal = { fes: fes.pduSequenceError };
const range: Fatal = { fes: fes.dataTransferOutOfRange };

const errors = [
  broken(
    { id: 'pdu.h2cdata.ttag', section: H2CDATA, title: 'H2CData with a TTAG that no R2T had' },
    [invalid(10)],
    ({ queue, cid, ttag, data }) => queue.h2cData(cid, ttag ^ 0x1234, 0, data, true),
  ),
  broken(
    { id: 'pdu.h2cdata.cccid', section: H2CDATA, title: 'H2CData with the CID of another command' },
    [invalid(8)],
    ({ queue, cid, ttag, data }) => queue.h2cData(cid ^ 1, ttag, 0, data, true),
  ),
  broken(
    { id: 'pdu.h2cdata.gap', section: H2CDATA, title: 'H2CData that leaves bytes out' },
    [sequence, range],
    ({ queue, cid, ttag, data }) => queue.h2cData(cid, ttag, 4096, data.subarray(4096), true),
  ),
  broken(
    { id: 'pdu.h2cdata.repeat', section: H2CDATA, title: 'H2CData that sends the same bytes again' },
    [sequence, range],
    ({ queue, cid, ttag, data }) => [
      queue.h2cData(cid, ttag, 0, data.subarray(0, 4096), false),
      queue.h2cData(cid, ttag, 0, data.subarray(0, 4096), false),
    ],
  ),
  broken(
    { id: 'pdu.h2cdata.beyond', section: H2CDATA, title: 'H2CData beyond what R2T asked for' },
    [range],
    ({ queue, cid, ttag, data }) => [
      queue.h2cData(cid, ttag, 0, data.subarray(0, 4096), false),
      queue.h2cData(cid, ttag, 4096, data, true),
    ],
  ),
  broken(
    { id: 'pdu.h2cdata.offset', section: H2CDATA, title: 'H2CData with DATAO near 4 GiB' },
    [range, sequence],
    ({ queue, cid, ttag, data }) => queue.h2cData(cid, ttag, 0xffff_f000, data.subarray(0, 8192), true),
  ),
  broken(
    { id: 'pdu.h2cdata.last-early', section: H2CDATA, title: 'LAST_PDU before the last byte' },
    [sequence, invalid(1)],
    ({ queue, cid, ttag, data }) => queue.h2cData(cid, ttag, 0, data.subarray(0, 4096), true),
  ),
  broken(
    { id: 'pdu.h2cdata.last-missing', section: H2CDATA, title: 'The last byte without LAST_PDU' },
    [sequence, invalid(1)],
    ({ queue, cid, ttag, data }) => queue.h2cData(cid, ttag, 0, data, false),
  ),
  broken(
    { id: 'pdu.h2cdata.datal', section: H2CDATA, title: 'H2CData whose DATAL is not what PLEN says' },
    [invalid(16), invalid(4)],
    ({ queue, cid, ttag, data }) => {
      const bytes = queue.h2cData(cid, ttag, 0, data, true);
      viewOf(bytes).setUint32(16, data.length - 4, true);
      return bytes;
    },
  ),
  broken(
    { id: 'pdu.h2cdata.empty', section: H2CDATA, title: 'H2CData without data' },
    [invalid(16), invalid(4)],
    ({ queue, cid, ttag }) => queue.h2cData(cid, ttag, 0, new Uint8Array(0), false),
  ),
  broken(
    { id: 'pdu.h2cdata.over', section: H2CDATA, title: 'H2CData for a transfer that is complete' },
    [invalid(10), invalid(8), sequence],
    ({ queue, cid, ttag, data }) => [
      queue.h2cData(cid, ttag, 0, data, true),
      queue.h2cData(cid, ttag, 0, data, true),
    ],
  ),
];

const unasked = check(
  { id: 'pdu.h2cdata.unasked', section: H2CDATA, title: 'H2CData where no command waits for data' },
  'C2HTermReq with FES 1, FEI 10 or 8, or FES 2',
  async (bench) => {
    const { queue } = await bench.pair();
    queue.lenient = true;
    queue.stream.send(queue.h2cData(7, 0, 0, pattern(512, 1), true));
    return judge(await lastWords(queue), [invalid(10), invalid(8), sequence]);
  },
);

/** C2HData of one read. */
async function seenOf(
  bench: Bench,
  bytes: number,
  disableSqFlowControl: boolean,
): Promise<[Pdu[], Completion, Buffer]> {
  const { nsid, block_size } = bench.facts.ns;
  const { queue } = await bench.pair({ disableSqFlowControl });
  const data = pattern(bytes, bytes);
  await write(queue, 0, data, { nsid, block_size });
  const pdus: Pdu[] = [];
  queue.tap = (pdu) => pdus.push(pdu);
  const back = await read(queue, 0, bytes, { nsid, block_size });
  return [pdus, back, data];
}

function dataRules(pdus: readonly Pdu[], bytes: number): Outcome[] {
  const parts = pdus.filter(({ type }) => type === pduType.c2hData);
  let next = 0;
  const outcomes = parts.map(({ view, data, flags, bytes: whole }, i) => {
    const from = pduDatao(view, 0);
    const contiguous = from === next && pduDatal(view, 0) === data.length;
    next += data.length;
    const last = (flags & pduFlag.last) !== 0;
    return all(
      holds(contiguous, `DATAO ${from}, DATAL ${pduDatal(view, 0)} of ${data.length}`),
      holds(last === (i === parts.length - 1), `LAST_PDU is ${last} in PDU ${i + 1} of ${parts.length}`),
      holds(!(flags & pduFlag.success) || last, 'SUCCESS goes with LAST_PDU'),
      holds(view.getUint32(20, true) === 0 && view.getUint16(10, true) === 0, 'reserved fields are 0'),
      holds(whole[3]! >= pduHeaderLength.c2hData, `PDO ${whole[3]}`),
    );
  });
  return [...outcomes, holds(next === bytes, `${next} of ${bytes} bytes in ${parts.length} PDUs`)];
}

const reads = [1, 8, 256].flatMap((blocks) =>
  [false, true].map((noFlow) =>
    check(
      {
        id: `pdu.c2hdata.${blocks}${noFlow ? '-no-flow-control' : ''}`,
        section: C2HDATA,
        title: `A read of ${blocks} blocks ${noFlow ? 'without' : 'with'} SQ flow control`,
      },
      'C2HData in order, LAST_PDU in the last alone; SUCCESS only there, and then no CapsuleResp follows',
      async (bench) => {
        const { block_size } = bench.facts.ns;
        const bytes = Math.min(blocks * block_size, bench.facts.transfer_max);
        const [pdus, back, data] = await seenOf(bench, bytes, noFlow);
        const responses = pdus.filter(({ type }) => type === pduType.capsuleResp).length;
        const successes = pdus.filter(
          ({ type, flags }) => type === pduType.c2hData && flags & pduFlag.success,
        ).length;
        return all(
          succeeded(back),
          holds(back.data.equals(data), back.data.equals(data) ? 'the data are right' : 'the data are wrong'),
          ...dataRules(pdus, bytes),
          holds(responses + successes === 1, `${successes} SUCCESS flags, ${responses} CapsuleResps`),
        );
      },
    ),
  ),
);

/** A host that has not given up SQ flow control needs SQHD, which only a CapsuleResp brings. */
const success = check(
  {
    id: 'pdu.c2hdata.success-flow-control',
    section: C2HDATA,
    title: 'A read on a queue with SQ flow control',
  },
  'CapsuleResp, which has SQHD; no SUCCESS flag',
  async (bench) => {
    const [pdus, back] = await seenOf(bench, bench.facts.ns.block_size, false);
    const flagged = pdus.some(({ type, flags }) => type === pduType.c2hData && flags & pduFlag.success);
    return all(
      succeeded(back),
      holds(!flagged, flagged ? 'SUCCESS is set, and SQHD is not told' : 'CapsuleResp'),
    );
  },
);

const failing = check(
  { id: 'pdu.c2hdata.failed', section: C2HDATA, title: 'A read that fails' },
  'CapsuleResp with its status, and no SUCCESS flag',
  async (bench) => {
    const { nsid, block_size, blocks } = bench.facts.ns;
    const { queue } = await bench.pair({ disableSqFlowControl: true });
    const pdus: Pdu[] = [];
    queue.tap = (pdu) => pdus.push(pdu);
    const back = await read(queue, blocks, block_size, { nsid, block_size });
    const flagged = pdus.some(({ type, flags }) => type === pduType.c2hData && flags & pduFlag.success);
    return all(
      holds(back.status !== 0, `status ${back.status.toString(16)}h`),
      of('SUCCESS', holds(!flagged, String(flagged))),
    );
  },
);

export const dataChecks: readonly Check[] = [
  r2tLayout,
  r2tCover,
  ...pieces,
  unaligned,
  ...errors,
  unasked,
  ...reads,
  success,
  failing,
];
