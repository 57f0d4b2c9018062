import { TICKS_PER_MS } from '@spdk-ts/env';
import { viewOf } from '@spdk-ts/nvme-spec';

/** Bytes of the feature's data. */
export const TIMESTAMP_SIZE = 8;

const TWO_32 = 0x1_0000_0000;
/** Bits 47:0 of the data. */
const WRAP_MS = 0x1_0000_0000_0000;
/** Timestamp Origin, bits 3:1 of byte 6: by a controller level reset, or by Set Features. */
const origin = { reset: 0, host: 1 << 1 } as const;

/**
 * The Timestamp feature (0Eh; Base 2.0, 5.27.1.11): milliseconds that go on from what the host has set, or from the
 * last controller level reset. Nothing stops the clock, so Synch is 0.
 */
export class Timestamp {
  /** The reactor's clock, ticks. */
  private readonly now: () => number;
  private set_ms = 0;
  private since = 0;
  private origin: number = origin.reset;

  constructor(now: () => number) {
    this.now = now;
    this.reset();
  }

  reset(): void {
    this.start(0, origin.reset);
  }

  /** Takes the data of Set Features. */
  set(data: Uint8Array): void {
    const view = viewOf(data);
    this.start(view.getUint32(0, true) + view.getUint16(4, true) * TWO_32, origin.host);
  }

  private start(ms: number, from: number): void {
    this.set_ms = ms;
    this.since = this.now();
    this.origin = from;
  }

  /** The data of Get Features. */
  read(): Uint8Array {
    const data = new Uint8Array(TIMESTAMP_SIZE);
    const view = viewOf(data);
    const ms = (this.set_ms + Math.floor((this.now() - this.since) / TICKS_PER_MS)) % WRAP_MS;
    view.setUint32(0, ms % TWO_32, true);
    view.setUint16(4, Math.floor(ms / TWO_32), true);
    data[6] = this.origin;
    return data;
  }
}
