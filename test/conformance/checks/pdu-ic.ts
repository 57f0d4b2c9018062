/** ICReq and ICResp: the handshake of a connection (TCP Transport 1.0, 3.6.2.2 and 3.6.2.3). */
import {
  decodeIcResp,
  fes,
  MAXH2CDATA_MIN,
  PDU_ALIGNMENT_MAX,
  pduFlag,
  pduHeaderLength,
  pduPdo,
  pduPlen,
  pduType,
  pduTypeName,
  register,
} from '@spdk-ts/nvme-spec';
import { type Pdu, pattern, read, write } from '../../host/index.ts';
import { all, type Check, tcpCheck as check, holds, succeeded } from '../check.ts';
import { fatal } from '../last-words.ts';
import { icReq, pdu } from '../pdus.ts';
import type { TcpBench as Bench } from '../tcp-bench.ts';

const ICREQ = 'TCP 1.0, 3.6.2.2';
const ICRESP = 'TCP 1.0, 3.6.2.3';
const FATAL = 'TCP 1.0, 3.5';
const DIGESTS = ['none', 'header', 'data', 'header and data'] as const;

/** What the target answers to an ICReq. */
async function handshake(bench: Bench, bytes: Uint8Array): Promise<Pdu> {
  const stream = await bench.stream();
  stream.send(bytes);
  const answer = await stream.next();
  if (answer === null) throw new Error('the connection is closed');
  if (answer.type !== pduType.icResp) throw new Error(`${pduTypeName(answer.type)} comes instead of ICResp`);
  return answer;
}

const digests = [0, 1, 2, 3].map((dgst) =>
  check(
    {
      id: `pdu.icresp.dgst-${dgst}`,
      section: ICRESP,
      title: `ICReq that asks for digests: ${DIGESTS[dgst]}`,
    },
    'ICResp with no digest that was not asked for',
    async (bench) => {
      const agreed = decodeIcResp((await handshake(bench, icReq({ dgst }))).view, 0).dgst;
      return holds((agreed & ~dgst) === 0, `agreed: ${DIGESTS[agreed]}`);
    },
  ),
);

/** Where the data of C2HData begin, for a host that wants them aligned. */
const alignments = [0, 1, 3, 7, PDU_ALIGNMENT_MAX].flatMap((hpda) =>
  [0, pduFlag.hdgst | pduFlag.ddgst].map((asked) =>
    check(
      {
        id: `pdu.icreq.hpda-${hpda}${asked ? '-digests' : ''}`,
        section: ICREQ,
        title: `Data for a host with HPDA ${hpda}${asked ? ' and digests' : ''}`,
      },
      `PDO of every C2HData is a multiple of ${(hpda + 1) * 4}; what was written is read`,
      async (bench) => {
        const { nsid, block_size } = bench.facts.ns;
        const { queue } = await bench.pair({ hpda, digests: asked });
        const offsets: number[] = [];
        queue.tap = ({ type, view }) => {
          if (type === pduType.c2hData) offsets.push(pduPdo(view, 0));
        };
        const data = pattern(4096, hpda + asked);
        const way = { nsid, block_size };
        const written = await write(queue, 0, data, way);
        const back = await read(queue, 0, data.length, way);
        const aligned = offsets.every((pdo) => pdo % ((hpda + 1) * 4) === 0);
        return all(
          succeeded(written),
          succeeded(back),
          holds(back.data.equals(data), 'the data are the same'),
          holds(offsets.length > 0 && aligned, `PDO ${[...new Set(offsets)].join(', ')}`),
        );
      },
    ),
  ),
);

const layout = check(
  { id: 'pdu.icresp.layout', section: ICRESP, title: 'ICReq in order' },
  'ICResp of 128 bytes, HLEN 128, FLAGS and PDO 0, PFV 0, reserved bytes 0',
  async (bench) => {
    const { bytes, view, hlen, flags } = await handshake(bench, icReq());
    return all(
      holds(
        bytes.length === 128 && hlen === 128 && pduPlen(view, 0) === 128,
        `${bytes.length} bytes, HLEN ${hlen}`,
      ),
      holds(flags === 0 && pduPdo(view, 0) === 0, `FLAGS ${flags}, PDO ${pduPdo(view, 0)}`),
      holds(view.getUint16(8, true) === 0, `PFV ${view.getUint16(8, true)}`),
      holds(
        bytes.subarray(16).every((byte) => byte === 0),
        'reserved bytes are 0',
      ),
    );
  },
);

const limits = [
  check(
    { id: 'pdu.icresp.cpda', section: ICRESP, title: 'CPDA of ICResp' },
    `0 … ${PDU_ALIGNMENT_MAX}`,
    async (bench) => {
      const { cpda } = decodeIcResp((await handshake(bench, icReq({ hpda: 3 }))).view, 0);
      return holds(cpda <= PDU_ALIGNMENT_MAX, `CPDA ${cpda}`);
    },
  ),
  check(
    { id: 'pdu.icresp.maxh2cdata', section: ICRESP, title: 'MAXH2CDATA of ICResp' },
    `a multiple of 4, at least ${MAXH2CDATA_MIN}`,
    async (bench) => {
      const { maxh2cdata } = decodeIcResp((await handshake(bench, icReq())).view, 0);
      return holds(maxh2cdata >= MAXH2CDATA_MIN && maxh2cdata % 4 === 0, `MAXH2CDATA ${maxh2cdata}`);
    },
  ),
];

const torn = check(
  { id: 'pdu.icreq.torn', section: ICREQ, title: 'ICReq that arrives byte by byte' },
  'ICResp',
  async (bench) => {
    const stream = await bench.stream();
    await stream.sendTorn(icReq(), () => 1);
    const answer = await stream.next();
    return holds(answer?.type === pduType.icResp, answer === null ? 'the end' : pduTypeName(answer.type));
  },
);

const joined = check(
  {
    id: 'pdu.icreq.joined',
    section: ICREQ,
    title: 'Half an ICReq, then the rest of it after other hosts were served',
  },
  'ICResp',
  async (bench) => {
    const stream = await bench.stream();
    stream.send(icReq().subarray(0, 61));
    await (await bench.both()).host.property(register.vs);
    stream.send(icReq().subarray(61));
    const answer = await stream.next();
    return holds(answer?.type === pduType.icResp, answer === null ? 'the end' : pduTypeName(answer.type));
  },
);

const fresh = (bench: Bench) => bench.stream();
const invalid = (fei: number) => ({ fes: fes.invalidHeaderField, fei });

const errors = [
  fatal(
    { id: 'pdu.icreq.pfv', section: ICREQ, title: 'ICReq with PFV 1' },
    [invalid(8), { fes: fes.unsupportedParameter, fei: 8 }],
    fresh,
    () => icReq({ pfv: 1 }),
  ),
  fatal(
    {
      id: 'pdu.icreq.hpda',
      section: ICREQ,
      title: `ICReq with HPDA ${PDU_ALIGNMENT_MAX + 1}, which is reserved`,
    },
    [invalid(10), { fes: fes.unsupportedParameter, fei: 10 }],
    fresh,
    () => icReq({ hpda: PDU_ALIGNMENT_MAX + 1 }),
  ),
  ...[0, 120, 127].map((hlen) =>
    fatal(
      { id: `pdu.icreq.hlen-${hlen}`, section: FATAL, title: `ICReq with HLEN ${hlen}` },
      [invalid(2)],
      fresh,
      () => pdu({ type: pduType.icReq, hlen, plen: 128, bytes: 128 }),
    ),
  ),
  ...[0, 8, 127, 129, 2 ** 30].map((plen) =>
    fatal(
      { id: `pdu.icreq.plen-${plen}`, section: FATAL, title: `ICReq with PLEN ${plen}` },
      [invalid(4)],
      fresh,
      () => pdu({ type: pduType.icReq, hlen: 128, plen }),
    ),
  ),
  fatal(
    { id: 'pdu.first.command', section: FATAL, title: 'CapsuleCmd before ICReq' },
    [{ fes: fes.pduSequenceError }],
    fresh,
    () => pdu({ type: pduType.capsuleCmd, hlen: 72, plen: 72 }),
  ),
  fatal(
    { id: 'pdu.first.data', section: FATAL, title: 'H2CData before ICReq' },
    [{ fes: fes.pduSequenceError }],
    fresh,
    () => pdu({ type: pduType.h2cData, flags: pduFlag.last, hlen: 24, pdo: 24, plen: 536, bytes: 536 }),
  ),
  ...[pduType.icResp, pduType.r2t, 0x0a, 0x42, 0xff].map((type) =>
    fatal(
      {
        id: `pdu.first.type-${type}`,
        section: FATAL,
        title: `PDU of type ${pduTypeName(type)} before ICReq`,
      },
      [invalid(0), { fes: fes.pduSequenceError }],
      fresh,
      () => pdu({ type, hlen: type === pduType.icResp ? 128 : 24, plen: type === pduType.icResp ? 128 : 24 }),
    ),
  ),
  fatal(
    { id: 'pdu.first.http', section: FATAL, title: 'An HTTP request where ICReq is due' },
    [{ fes: fes.invalidHeaderField }],
    fresh,
    () => Buffer.from(`GET / HTTP/1.1\r\nHost: localhost\r\n\r\n${' '.repeat(pduHeaderLength.icReq)}`),
  ),
];

export const icChecks: readonly Check[] = [
  layout,
  ...limits,
  ...digests,
  ...alignments,
  torn,
  joined,
  ...errors,
];
