/**
 * Known answers: PDUs written out byte by byte from the figures of the specification, with digests that were made
 * with another implementation (a bitwise one, checked against RFC 3720, B.4), and what must come back for them.
 */
import { register, viewOf } from '@spdk-ts/nvme-spec';
import { type Pdu, read, write } from '../../host/index.ts';
import { all, type Check, tcpCheck as check, holds, of, succeeded } from '../check.ts';

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');

/** ICReq (TCP 1.0, figure of 3.6.2.2): type 0, HLEN and PLEN 128; PFV 0, HPDA 0, DGST 1, MAXR2T 0. */
const icReqBytes = bytesOf(`00 00 80 00 80000000 0000 00 01 00000000 ${'00'.repeat(112)}`);

/** Connect's data and command are made with the codecs; Property Get of VS, CID 1234h, with its header digest. */
const propertyGet = bytesOf(`
  04 01 48 00 4c000000
  7f 40 3412 04000000 ${'00'.repeat(32)}
  00000000 08000000 ${'00'.repeat(16)}
  4b3fbf76`);
/** Keep Alive, CID 0A0Bh, with its header digest. */
const keepAlive = bytesOf(`04 01 48 00 4c000000 18 40 0b0a ${'00'.repeat(60)} 2a474b7b`);

/** Bit by bit, as RFC 3385 defines it: nothing in common with the tables of the code under test. */
function crcBitwise(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** A CapsuleResp as it must be: dword 0, dword 1 0, SQHD as it came, SQID and phase 0, the CID, status 0. */
function response(cid: string, dw0: number, sqhd: number): Buffer {
  const out = bytesOf(`05 01 18 00 1c000000 00000000 00000000 0000 0000 ${cid} 0000 00000000`);
  out.writeUInt32LE(dw0, 8);
  out.writeUInt16LE(sqhd, 16);
  out.writeUInt32LE(crcBitwise(out.subarray(0, 24)), 24);
  return out;
}

const capsules = check(
  {
    id: 'vector.capsule',
    section: 'TCP 1.0, 3.6.2.6',
    title: 'Property Get of VS and Keep Alive, byte by byte as in the figures, with header digests',
  },
  'CapsuleResp of 28 bytes, byte by byte as in the figure, with the right digest',
  async (bench) => {
    const host = await bench.connect({ digests: 1, katoMs: 60_000 });
    if (host.admin.digests !== 1) return holds(true, 'the target does not agree to header digests');
    const { admin } = host;
    const pdus: Pdu[] = [];
    admin.tap = (pdu) => pdus.push(pdu);
    const done = [admin.expect(0x1234), admin.expect(0x0a0b)];
    admin.stream.send(propertyGet);
    await done[0];
    admin.stream.send(keepAlive);
    await done[1];
    const [vs, alive] = pdus as [Pdu, Pdu];
    const same = (pdu: Pdu, cid: string, dw0: number): boolean =>
      pdu.bytes.equals(response(cid, dw0, pdu.view.getUint16(16, true)));
    return all(
      of('Property Get', holds(same(vs, '3412', bench.facts.vs), vs.bytes.toString('hex'))),
      of('Keep Alive', holds(same(alive, '0b0a', 0), alive.bytes.toString('hex'))),
    );
  },
);

const icResp = check(
  { id: 'vector.icreq', section: 'TCP 1.0, 3.6.2.2', title: 'ICReq, byte by byte as in the figure' },
  'ICResp whose first 8 bytes are 01 00 80 00 80 00 00 00',
  async (bench) => {
    const stream = await bench.stream();
    stream.send(icReqBytes);
    const answer = await stream.next();
    const start = answer?.bytes.subarray(0, 8).toString('hex') ?? 'the end';
    return holds(start === '0100800080000000', start);
  },
);

/** CRC32C of a block of each kind. For 32 bytes these are the patterns of RFC 3720, B.4. */
const blocks: readonly { name: string; byte: (i: number) => number; digests: Record<number, number> }[] = [
  { name: 'zeroes', byte: () => 0, digests: { 512: 0x30fc_edc0, 4096: 0x98f9_4189 } },
  { name: 'ones', byte: () => 0xff, digests: { 512: 0x5bd9_9297, 4096: 0x25c1_fe13 } },
  { name: 'increasing', byte: (i) => i, digests: { 512: 0xae10_ee5a, 4096: 0x9c71_fe32 } },
  { name: 'decreasing', byte: (i) => 255 - i, digests: { 512: 0xc535_910d, 4096: 0x2149_41a8 } },
];

const dataDigests = blocks.map(({ name, byte, digests }) =>
  check(
    {
      id: `vector.ddgst-${name}`,
      section: 'TCP 1.0, 3.4; RFC 3720, B.4',
      title: `The data digest of a block of bytes: ${name}`,
      unless: ({ ns }) =>
        ns.block_size in digests ? '' : `blocks of ${ns.block_size} bytes have no known answer here`,
    },
    'the known CRC32C behind the data',
    async (bench) => {
      const { nsid, block_size } = bench.facts.ns;
      const { queue } = await bench.pair({ digests: 2 });
      if (queue.digests !== 2) return holds(true, 'the target does not agree to data digests');
      const data = Uint8Array.from({ length: block_size }, (_, i) => byte(i) & 0xff);
      const written = await write(queue, 0, data, { nsid, block_size });
      let seen = -1;
      queue.tap = (pdu) => {
        if (pdu.data.length > 0) seen = viewOf(pdu.bytes).getUint32(pdu.bytes.length - 4, true);
      };
      const back = await read(queue, 0, block_size, { nsid, block_size });
      return all(
        succeeded(written),
        succeeded(back),
        holds(seen === digests[block_size], `${(seen >>> 0).toString(16)}h`),
      );
    },
  ),
);

const propertyVs = check(
  { id: 'vector.vs', section: 'Base 2.0, 3.1.3.2', title: 'Property Get of VS' },
  'a version of the Base specification: major, minor and tertiary as they were released',
  async (bench) => {
    const vs = await (await bench.both()).host.property(register.vs);
    const known = [
      0x1_0000, 0x1_0100, 0x1_0200, 0x1_0201, 0x1_0300, 0x1_0400, 0x2_0000, 0x2_0100, 0x2_0200, 0x2_0300,
    ];
    return holds(known.includes(vs), `${vs.toString(16)}h`);
  },
);

export const vectorChecks: readonly Check[] = [icResp, capsules, ...dataDigests, propertyVs];
