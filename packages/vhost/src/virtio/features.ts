import type { Bits } from '../protocol/codec.ts';
import { Feature } from './constants.ts';

/** The words of a list of feature bits. */
export function featureBits(...bits: number[]): Bits {
  let low = 0;
  let high = 0;
  for (const bit of bits) {
    if (bit < 32) low |= 1 << bit;
    else high |= 1 << (bit - 32);
  }
  return { low: low >>> 0, high: high >>> 0 };
}

export const hasFeature = ({ low, high }: Bits, bit: number): boolean =>
  ((bit < 32 ? low >>> bit : high >>> (bit - 32)) & 1) === 1;

/** The bits that are in `asked` and not in `offered`, or null. */
export function unknownFeatures(asked: Bits, offered: Bits): Bits | null {
  const low = (asked.low & ~offered.low) >>> 0;
  const high = (asked.high & ~offered.high) >>> 0;
  return low === 0 && high === 0 ? null : { low, high };
}

/** What a device can do, of which its features follow. */
export interface BlkAbilities {
  readonly readonly: boolean;
  readonly packed_ring: boolean;
  readonly flush: boolean;
  readonly discard: boolean;
  readonly write_zeroes: boolean;
}

export function deviceFeatures(can: BlkAbilities): Bits {
  return featureBits(
    ...[
      Feature.BLK_SIZE_MAX,
      Feature.BLK_SEG_MAX,
      Feature.BLK_BLK_SIZE,
      Feature.BLK_TOPOLOGY,
      Feature.BLK_MQ,
    ],
    ...[Feature.ANY_LAYOUT, Feature.RING_INDIRECT_DESC, Feature.RING_EVENT_IDX, Feature.VERSION_1],
    Feature.PROTOCOL_FEATURES,
    ...(can.packed_ring ? [Feature.RING_PACKED] : []),
    ...(can.readonly ? [Feature.BLK_RO] : []),
    ...(can.flush ? [Feature.BLK_FLUSH] : []),
    ...(can.discard ? [Feature.BLK_DISCARD] : []),
    ...(can.write_zeroes ? [Feature.BLK_WRITE_ZEROES] : []),
  );
}
