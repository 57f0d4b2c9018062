/** Changes to recorded exchanges, by chance and byte by byte, for fuzzing: the same seed makes the same ones. */
import type { Random } from '@spdk-ts/env';
import { crc32c, pduFlag, pduType } from '@spdk-ts/nvme-spec';

const DIGEST_BYTES = 4;
const COMMON_HEADER_BYTES = 8;
/** Values that limits lie at. */
const interesting = [0, 1, 2, 0x7f, 0x80, 0xff, 0xfe, 0x40, 0x10];
const interestingWords = [0, 1, 0xffff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff, 0x1_0000, 0x1000, 0xffff_fffc];
/** Most bytes that are put in or taken out at once. */
const PIECE_MAX = 64;

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.below(list.length)]!;
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Where a change goes: mostly in the headers, which are what is parsed. */
function place(random: Random, length: number): number {
  const near = Math.min(
    length,
    random.below(4) === 0 ? length : random.below(3) === 0 ? COMMON_HEADER_BYTES : 80,
  );
  return random.below(Math.max(1, near));
}

/** A copy of the bytes with one change. */
export function mutateBytes(random: Random, bytes: Uint8Array): Uint8Array {
  const at = place(random, bytes.length);
  const length = 1 + random.below(PIECE_MAX);
  const out = bytes.slice();
  switch (random.below(8)) {
    case 0:
    case 1:
      out[at] = out[at]! ^ (1 << random.below(8));
      return out;
    case 2:
      out[at] = pick(random, interesting);
      return out;
    case 3:
      out[at] = random.below(256);
      return out;
    case 4:
      if (at + 4 <= out.length) new DataView(out.buffer).setUint32(at, pick(random, interestingWords), true);
      return out;
    case 5:
      return out.subarray(0, at);
    case 6:
      return concat(out.subarray(0, at), out.subarray(at + length));
    default: {
      const noise = Uint8Array.from({ length }, () => random.below(256));
      return concat(out.subarray(0, at), noise, out.subarray(at));
    }
  }
}

/** Makes the header digest of a PDU right again, so that what is behind it is looked at. */
export function mendDigest(pdu: Uint8Array): Uint8Array {
  const hlen = pdu[2] ?? 0;
  const flagged = pdu.length > 1 && pdu[0]! >= pduType.capsuleCmd && (pdu[1]! & pduFlag.hdgst) !== 0;
  if (!flagged || pdu.length < hlen + DIGEST_BYTES) return pdu;
  const out = pdu.slice();
  new DataView(out.buffer).setUint32(hlen, crc32c(out, 0, hlen), true);
  return out;
}

/** An exchange, PDU by PDU, with one to four changes: to PDUs, their order, and their number. */
export function mutateExchange(random: Random, recorded: readonly Uint8Array[]): Uint8Array[] {
  const pdus = [...recorded];
  for (let changes = 1 + random.below(4); changes > 0 && pdus.length > 0; changes--) {
    const at = random.below(pdus.length);
    const other = random.below(pdus.length);
    switch (random.below(10)) {
      case 0:
        pdus.splice(at, 1);
        break;
      case 1:
        pdus.splice(other, 0, pdus[at]!);
        break;
      case 2:
        [pdus[at], pdus[other]] = [pdus[other]!, pdus[at]!];
        break;
      default: {
        const changed = mutateBytes(random, pdus[at]!);
        pdus[at] = random.below(3) > 0 ? mendDigest(changed) : changed;
      }
    }
  }
  return pdus;
}
