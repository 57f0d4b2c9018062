/** PDU headers after the handshake that a target must not take (TCP Transport 1.0, 3.5 and 3.6). */
import {
  fes,
  pduDataOffset,
  pduFlag,
  pduType,
  pduTypeName,
  register,
  TERM_REQ_DATA_MAX,
  TERM_REQ_PLEN_MAX,
} from '@spdk-ts/nvme-spec';
import type { QueueOptions, RawQueue } from '../../host/index.ts';
import { all, type Check, tcpCheck as check, holds, type Row } from '../check.ts';
import { type Fatal, fatal, lastWords } from '../last-words.ts';
import { concat, type Header, icReq, pdu } from '../pdus.ts';
import type { TcpBench as Bench } from '../tcp-bench.ts';

const FATAL = 'TCP 1.0, 3.5';
const COMMON = 'TCP 1.0, 3.6';
const CAPSULE = 'TCP 1.0, 3.6.2.6';
const H2CDATA = 'TCP 1.0, 3.6.2.8';
const TERMREQ = 'TCP 1.0, 3.6.2.4';
const BOTH = pduFlag.hdgst | pduFlag.ddgst;

const fresh =
  (options: Partial<QueueOptions> = {}) =>
  (bench: Bench): Promise<RawQueue> =>
    bench.queue(options);
const invalid = (fei: number): Fatal => ({ fes: fes.invalidHeaderField, fei });

const header = (row: Row, wanted: readonly Fatal[], is: Header, options: Partial<QueueOptions> = {}): Check =>
  fatal(row, wanted, fresh(options), () => pdu(is));

const types = [
  pduType.icResp,
  pduType.c2hTermReq,
  pduType.capsuleResp,
  pduType.c2hData,
  pduType.r2t,
  0x08,
  0x0a,
  0x42,
  0xff,
].map((type) =>
  header(
    {
      id: `pdu.type-${type}`,
      section: COMMON,
      title: `PDU of type ${pduTypeName(type)}, which no host sends, after ICResp`,
    },
    [invalid(0), { fes: fes.pduSequenceError }],
    { type, hlen: type === pduType.icResp ? 128 : 24, plen: type === pduType.icResp ? 128 : 24 },
  ),
);

const sequence = [
  fatal(
    { id: 'pdu.icreq.second', section: FATAL, title: 'A second ICReq' },
    [{ fes: fes.pduSequenceError }],
    fresh(),
    () => icReq(),
  ),
];

const capsules = [
  ...[0, 64, 71, 73, 255].map((hlen) =>
    header(
      { id: `pdu.capsule.hlen-${hlen}`, section: CAPSULE, title: `CapsuleCmd with HLEN ${hlen}` },
      [invalid(2)],
      { type: pduType.capsuleCmd, hlen, plen: 72, bytes: 72 },
    ),
  ),
  ...[0, 8, 71].map((plen) =>
    header(
      { id: `pdu.capsule.plen-${plen}`, section: CAPSULE, title: `CapsuleCmd with PLEN ${plen}` },
      [invalid(4)],
      { type: pduType.capsuleCmd, hlen: 72, plen },
    ),
  ),
  header(
    { id: 'pdu.capsule.plen-huge', section: CAPSULE, title: 'CapsuleCmd of 4 GiB' },
    [{ fes: fes.dataTransferLimitExceeded }, invalid(4)],
    { type: pduType.capsuleCmd, hlen: 72, pdo: 72, plen: 0xffff_ffff },
  ),
  header(
    { id: 'pdu.capsule.pdo-inside', section: CAPSULE, title: 'CapsuleCmd whose data begin in its header' },
    [invalid(3)],
    { type: pduType.capsuleCmd, hlen: 72, pdo: 8, plen: 584, bytes: 584 },
  ),
  header(
    { id: 'pdu.capsule.pdo-misaligned', section: CAPSULE, title: 'CapsuleCmd with PDO 74' },
    [invalid(3)],
    { type: pduType.capsuleCmd, hlen: 72, pdo: 74, plen: 586, bytes: 586 },
  ),
  header(
    { id: 'pdu.capsule.pdo-beyond', section: CAPSULE, title: 'CapsuleCmd whose data begin behind its end' },
    [invalid(3), invalid(4)],
    { type: pduType.capsuleCmd, hlen: 72, pdo: 200, plen: 160, bytes: 160 },
  ),
  check(
    {
      id: 'pdu.capsule.cpda',
      section: CAPSULE,
      title: 'CapsuleCmd with data that are not aligned as CPDA asks',
    },
    'C2HTermReq, Invalid PDU Header Field, FEI 3; or CPDA 0, which asks for nothing',
    async (bench) => {
      const queue = await bench.queue({ hpda: 15 });
      queue.lenient = true;
      if (queue.icResp.cpda === 0) return holds(true, 'CPDA 0');
      const pdo = pduDataOffset(72, 0, queue.icResp.cpda) + 4;
      queue.stream.send(pdu({ type: pduType.capsuleCmd, hlen: 72, pdo, plen: pdo + 512, bytes: pdo + 512 }));
      const { request, closed } = await lastWords(queue);
      const fei = request?.view.getUint32(10, true);
      return holds(fei === 3, request === null ? (closed ? 'closed' : 'nothing') : `FEI ${fei}`);
    },
  ),
];

const flags = [
  header(
    {
      id: 'pdu.capsule.hdgst-unasked',
      section: CAPSULE,
      title: 'CapsuleCmd with HDGSTF where no digest was agreed on',
    },
    [invalid(1)],
    { type: pduType.capsuleCmd, flags: pduFlag.hdgst, hlen: 72, plen: 76, bytes: 76 },
  ),
  header(
    {
      id: 'pdu.capsule.ddgst-unasked',
      section: CAPSULE,
      title: 'CapsuleCmd with DDGSTF where no digest was agreed on',
    },
    [invalid(1)],
    { type: pduType.capsuleCmd, flags: pduFlag.ddgst, hlen: 72, pdo: 72, plen: 588, bytes: 588 },
  ),
  header(
    {
      id: 'pdu.capsule.hdgst-missing',
      section: CAPSULE,
      title: 'CapsuleCmd without HDGSTF where it was agreed on',
    },
    [invalid(1), { fes: fes.headerDigestError }],
    { type: pduType.capsuleCmd, hlen: 72, plen: 72 },
    { digests: pduFlag.hdgst },
  ),
  header(
    {
      id: 'pdu.h2cdata.flags-missing',
      section: H2CDATA,
      title: 'H2CData without digest flags where they were agreed on',
    },
    [invalid(1), { fes: fes.headerDigestError }],
    { type: pduType.h2cData, flags: pduFlag.last, hlen: 24, pdo: 24, plen: 536, bytes: 536 },
    { digests: BOTH },
  ),
];

const data = [
  ...[0, 8, 23, 25, 72].map((hlen) =>
    header(
      { id: `pdu.h2cdata.hlen-${hlen}`, section: H2CDATA, title: `H2CData with HLEN ${hlen}` },
      [invalid(2)],
      { type: pduType.h2cData, flags: pduFlag.last, hlen, pdo: 24, plen: 536, bytes: 536 },
    ),
  ),
  ...[0, 8, 23].map((plen) =>
    header(
      { id: `pdu.h2cdata.plen-${plen}`, section: H2CDATA, title: `H2CData with PLEN ${plen}` },
      [invalid(4)],
      { type: pduType.h2cData, flags: pduFlag.last, hlen: 24, pdo: 24, plen, bytes: 24 },
    ),
  ),
  header(
    { id: 'pdu.h2cdata.pdo-inside', section: H2CDATA, title: 'H2CData whose data begin in its header' },
    [invalid(3)],
    { type: pduType.h2cData, flags: pduFlag.last, hlen: 24, pdo: 20, plen: 532, bytes: 532 },
  ),
  fatal(
    { id: 'pdu.h2cdata.limit', section: H2CDATA, title: 'H2CData with more than MAXH2CDATA bytes' },
    [{ fes: fes.dataTransferLimitExceeded }],
    fresh(),
    ({ icResp }) =>
      pdu({ type: pduType.h2cData, flags: pduFlag.last, hlen: 24, pdo: 24, plen: 28 + icResp.maxh2cdata }),
  ),
];

/** The data of a termination request are a copy of the header that is at fault. */
const quotes = check(
  {
    id: 'pdu.c2htermreq.quote',
    section: 'TCP 1.0, 3.6.2.5',
    title: 'A PDU of unknown type, distinct in all its bytes',
  },
  `C2HTermReq with HLEN 24, PLEN up to ${TERM_REQ_PLEN_MAX}, and at most ${TERM_REQ_DATA_MAX} bytes of the header at fault`,
  async (bench) => {
    const queue = await bench.queue();
    const bytes = Uint8Array.from({ length: 24 }, (_, i) => 0xa0 + i);
    bytes.set(pdu({ type: 0x42, hlen: 24, plen: 24 }).subarray(0, 8));
    queue.stream.send(bytes);
    const { request } = await lastWords(queue);
    if (request === null) return holds(false, 'no C2HTermReq');
    const { data: quoted, hlen, bytes: whole } = request;
    const same = quoted.equals(Buffer.from(bytes.subarray(0, quoted.length)));
    return all(
      holds(hlen === 24 && whole.length <= TERM_REQ_PLEN_MAX, `HLEN ${hlen}, PLEN ${whole.length}`),
      holds(
        quoted.length >= 8 && same,
        `${quoted.length} bytes quoted${same ? '' : ', not those that were sent'}`,
      ),
    );
  },
);

/** After its termination request a target waits for the host to close; it need not do so for longer than 30 s. */
const closes = [false, true].map((hostCloses) =>
  check(
    {
      id: `pdu.c2htermreq.closed${hostCloses ? '' : '-alone'}`,
      section: FATAL,
      title: `The connection after C2HTermReq, ${hostCloses ? 'of which the host closes its side' : 'which the host leaves open'}`,
      ...{ seconds: 60, waits: true },
    },
    'it is closed within 30 seconds (and a few more, for a busy machine)',
    async (bench) => {
      const stream = await bench.stream();
      stream.send(pdu({ type: 0x42, hlen: 24, plen: 24 }));
      const { request } = await lastWords(stream);
      if (request === null)
        return holds(stream.ended, stream.ended ? 'closed without C2HTermReq' : 'no C2HTermReq');
      if (hostCloses) stream.socket.end();
      const from = performance.now();
      while (!stream.ended && performance.now() - from < 35_000)
        await new Promise((resolve) => setTimeout(resolve, 50));
      const seconds = Math.ceil((performance.now() - from) / 1000);
      return holds(stream.ended, stream.ended ? `closed within ${seconds} s` : 'it stays open');
    },
  ),
);

/** The host ends: the target does so without a word. */
const hostEnds = [1, 2, 3, 4, 5, 6].map((code) =>
  check(
    { id: `pdu.h2ctermreq.fes-${code}`, section: TERMREQ, title: `H2CTermReq with FES ${code}` },
    'the connection is closed, and nothing is sent any more',
    async (bench) => {
      const host = await bench.connect();
      const bytes = concat(pdu({ type: pduType.h2cTermReq, hlen: 24, plen: 32 }), new Uint8Array(8));
      bytes[8] = code;
      let pdus = 0;
      host.admin.tap = () => pdus++;
      host.admin.stream.send(bytes);
      const { closed } = await lastWords(host.admin);
      return all(
        holds(closed, closed ? 'closed' : 'the connection goes on'),
        holds(pdus === 0, `${pdus} PDUs come`),
      );
    },
  ),
);

const hostEndsWrong = [0, 23, TERM_REQ_PLEN_MAX + 1].map((plen) =>
  check(
    { id: `pdu.h2ctermreq.plen-${plen}`, section: TERMREQ, title: `H2CTermReq with PLEN ${plen}` },
    'C2HTermReq, or the connection is closed',
    async (bench) => {
      const queue = await bench.queue();
      queue.stream.send(pdu({ type: pduType.h2cTermReq, hlen: 24, plen, bytes: Math.max(24, plen) }));
      const { closed, request } = await lastWords(queue);
      const how = request === null ? 'closed' : 'C2HTermReq';
      return holds(closed || request !== null, closed || request !== null ? how : 'the connection goes on');
    },
  ),
);

const torn = check(
  { id: 'pdu.capsule.torn', section: CAPSULE, title: 'Commands that arrive byte by byte' },
  'each is answered',
  async (bench) => {
    const host = await bench.connect();
    const { admin } = host;
    const cids = [admin.newCid(), admin.newCid()];
    const done = cids.map((cid) => admin.expect(cid));
    const bytes = cids.map((cid) =>
      admin.capsule({ opcode: 0x7f, nsid: 4, psdt: 1, cid, cdw11: register.vs }),
    );
    await admin.stream.sendTorn(concat(...bytes), () => 1);
    const answers = await Promise.all(done);
    return holds(
      answers.every(({ status, dw0 }) => status === 0 && dw0 === bench.facts.vs),
      answers.map(({ status }) => `status ${status}`).join(', '),
    );
  },
);

export const headerChecks: readonly Check[] = [
  ...sequence,
  ...types,
  ...capsules,
  ...flags,
  ...data,
  quotes,
  ...closes,
  ...hostEnds,
  ...hostEndsWrong,
  torn,
];
