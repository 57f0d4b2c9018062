/** Header and data digests (TCP Transport 1.0, 3.4 and 3.6.1): CRC32C, which the host's stream verifies as well. */
import {
  CAPSULE_ENTRY_OFFSET,
  fes,
  nvmOpcode,
  pduFlag,
  pduType,
  register,
  sglId,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { type Pdu, pattern, read, write } from '../../host/index.ts';
import {
  all,
  type Check,
  tcpCheck as check,
  hasStatus,
  holds,
  type Outcome,
  of,
  succeeded,
} from '../check.ts';
import { generic } from '../codes.ts';
import { fatal } from '../last-words.ts';
import type { TcpBench as Bench } from '../tcp-bench.ts';

const DIGEST = 'TCP 1.0, 3.4';
const NAMES = ['no digests', 'header digests', 'data digests', 'both digests'] as const;
const hasData = ({ type, data }: Pdu): boolean => type === pduType.c2hData && data.length > 0;

/** Whether the flags of every PDU from the target are those that were agreed on. */
function flagged(pdus: readonly Pdu[], agreed: number): Outcome {
  const wrong = pdus.find(({ flags, ...pdu }) => {
    const wanted = (agreed & pduFlag.hdgst) | (hasData({ flags, ...pdu }) ? agreed & pduFlag.ddgst : 0);
    return (flags & 3) !== wanted;
  });
  return holds(
    wrong === undefined,
    wrong === undefined ? 'flags are right' : `type ${wrong.type} has flags ${wrong.flags}`,
  );
}

/** Small data in a capsule, large ones that are asked for, and both back. */
async function roundTrip(bench: Bench, digests: number): Promise<Outcome> {
  const { nsid, block_size } = bench.facts.ns;
  const { queue } = await bench.pair({ digests });
  const pdus: Pdu[] = [];
  queue.tap = (pdu) => pdus.push(pdu);
  const outcomes: Outcome[] = [];
  for (const [lba, bytes] of [
    [0, block_size],
    [64, 4096],
    [128, Math.min(65_536, bench.facts.transfer_max)],
  ] as const) {
    const data = pattern(bytes, bytes + digests);
    const written = await write(queue, lba, data, { nsid, block_size });
    const back = await read(queue, lba, bytes, { nsid, block_size });
    outcomes.push(of(`${bytes} bytes`, all(succeeded(written), succeeded(back))));
    outcomes.push(
      holds(back.data.equals(data), `${bytes} bytes ${back.data.equals(data) ? 'the same' : 'differ'}`),
    );
  }
  const { error } = queue.stream;
  return all(
    ...outcomes,
    flagged(pdus, queue.digests),
    holds(error === null, error?.message ?? 'digests are right'),
  );
}

const trips = [0, 1, 2, 3].map((digests) =>
  check(
    { id: `pdu.digest.trip-${digests}`, section: DIGEST, title: `Writes and reads with ${NAMES[digests]}` },
    'the data come back; HDGSTF and DDGSTF are set where there are digests, and these are right',
    (bench) => roundTrip(bench, digests),
  ),
);

const agrees = async (bench: Bench, bit: number) =>
  ((await bench.queue({ digests: bit })).digests & bit) !== 0;
const notAgreed = holds(true, 'the target does not agree to the digest');

const headerWrong = [
  fatal(
    {
      id: 'pdu.digest.header-capsule',
      section: DIGEST,
      title: 'CapsuleCmd with a wrong header digest',
    },
    [{ fes: fes.headerDigestError }],
    (bench) => bench.queue({ digests: pduFlag.hdgst }),
    (queue) => {
      const bytes = queue.capsule({ opcode: 0x18, cid: 1 });
      bytes[CAPSULE_ENTRY_OFFSET + 8]! ^= 0x10;
      return bytes;
    },
  ),
  check(
    {
      id: 'pdu.digest.header-fei',
      section: 'TCP 1.0, 3.6.2.5',
      severity: 'should',
      title: 'The FEI for a wrong header digest',
    },
    'the digest that came',
    async (bench) => {
      if (!(await agrees(bench, pduFlag.hdgst))) return notAgreed;
      const queue = await bench.queue({ digests: pduFlag.hdgst });
      const bytes = queue.capsule({ opcode: 0x18, cid: 1 });
      bytes[CAPSULE_ENTRY_OFFSET + 8]! ^= 0x10;
      const fei = new Promise<number>((resolve) => {
        queue.tap = ({ view, type }) => {
          if (type === pduType.c2hTermReq) resolve(view.getUint32(10, true));
        };
        void queue.stream.closed.then(() => resolve(-1));
      });
      queue.stream.send(bytes);
      const seen = await fei;
      return holds(
        seen === viewOf(bytes).getUint32(72, true),
        seen < 0 ? 'no C2HTermReq' : `${seen.toString(16)}h`,
      );
    },
  ),
];

/** A command whose data arrive with a wrong digest fails alone, may be tried again, and changes nothing. */
async function dataWrong(bench: Bench, way: 'capsule' | 'r2t'): Promise<Outcome> {
  if (!(await agrees(bench, pduFlag.ddgst))) return notAgreed;
  const { nsid, block_size } = bench.facts.ns;
  const { queue } = await bench.pair({ digests: pduFlag.ddgst });
  const size = way === 'capsule' ? block_size : bench.r2t_bytes;
  if (way === 'capsule' && bench.facts.capsule_bytes < size)
    return holds(true, 'no data in capsules of I/O commands');
  const before = pattern(size, 1);
  const options = { nsid, block_size, way };
  await write(queue, 0, before, options);
  queue.spoilDataDigest = true;
  const spoiled = await write(queue, 0, pattern(size, 2), options);
  const again = await write(queue, 256, before, options);
  const back = await read(queue, 0, size, options);
  return all(
    hasStatus(spoiled, [generic.transientTransportError]),
    holds((spoiled.status & 0x4000) === 0, 'do not retry is not set'),
    of('the next write', succeeded(again)),
    holds(
      back.data.equals(before),
      back.data.equals(before) ? 'what was there stays' : 'the damaged data were written',
    ),
  );
}

const damaged = (['capsule', 'r2t'] as const).map((way) =>
  check(
    {
      id: `pdu.digest.data-${way}`,
      section: DIGEST,
      title: `A write whose data, ${way === 'capsule' ? 'in its capsule' : 'sent for an R2T'}, have a wrong digest`,
    },
    'Transient Transport Error (0/22h), which may be tried again; the connection goes on, and nothing was written',
    (bench) => dataWrong(bench, way),
  ),
);

const headerData = check(
  { id: 'pdu.digest.header-h2cdata', section: DIGEST, title: 'H2CData with a wrong header digest' },
  'C2HTermReq, Header Digest Error',
  async (bench) => {
    if (!(await agrees(bench, pduFlag.hdgst))) return notAgreed;
    const { nsid, block_size } = bench.facts.ns;
    const { queue } = await bench.pair({ digests: pduFlag.hdgst });
    queue.lenient = true;
    const cid = queue.newCid();
    const length = bench.r2t_bytes;
    const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length };
    queue.expect(cid).catch(() => {});
    const sent = new Promise<number>((resolve) => {
      queue.tap = (pdu) => {
        if (pdu.type === pduType.c2hTermReq) resolve(pdu.view.getUint16(8, true));
        if (pdu.type !== pduType.r2t) return;
        const bytes = queue.h2cData(cid, pdu.view.getUint16(10, true), 0, pattern(length, 3), true);
        bytes[20]! ^= 1; // a reserved byte: nothing but the digest is wrong
        queue.stream.send(bytes);
      };
      void queue.stream.closed.then(() => resolve(-1));
    });
    const fields = { opcode: nvmOpcode.write, nsid, psdt: 1, cid, sgl1, cdw12: length / block_size - 1 };
    queue.stream.send(queue.capsule(fields));
    const seen = await sent;
    return holds(
      seen === fes.headerDigestError,
      seen < 0 ? 'closed without C2HTermReq' : `C2HTermReq, FES ${seen}`,
    );
  },
);

const goesOn = check(
  { id: 'pdu.digest.admin', section: DIGEST, title: 'Admin commands with both digests' },
  'answered, with digests that are right',
  async (bench) => {
    const host = await bench.connect({ digests: 3 });
    const vs = await host.property(register.vs);
    const data = await host.identify(1);
    return holds(
      vs === bench.facts.vs && data.length === 4096,
      `VS ${vs.toString(16)}h, ${data.length} bytes`,
    );
  },
);

export const digestChecks: readonly Check[] = [...trips, ...headerWrong, ...damaged, headerData, goesOn];
