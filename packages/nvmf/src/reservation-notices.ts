import { NSID_ALL, reservationLog, reservationMask, reservationNotification } from '@spdk-ts/nvme-spec';
import type { AdminSession } from './admin-session.ts';

/** Notifications that wait to be read. Further ones take the place of the last. */
const NOTICES_MAX = 255;
const LPC_MAX = Number.MAX_SAFE_INTEGER;

const maskBits: ReadonlyMap<number, number> = new Map([
  [reservationNotification.registrationPreempted, reservationMask.registrationPreempted],
  [reservationNotification.reservationReleased, reservationMask.reservationReleased],
  [reservationNotification.reservationPreempted, reservationMask.reservationPreempted],
]);

interface Notice {
  readonly lpc: number;
  readonly type: number;
  readonly nsid: number;
}

/** Reservation notifications of one controller: log page 80h (Base 2.0, 5.16.1.24), and feature 82h that masks them. */
export class ReservationNotices {
  private readonly session: AdminSession;
  private readonly waiting: Notice[] = [];
  /** By NSID, bits of `reservationMask`. */
  private readonly masks = new Map<number, number>();
  private count = 0;

  constructor(session: AdminSession) {
    this.session = session;
  }

  /** A controller level reset: nothing is masked. */
  reset(): void {
    this.masks.clear();
  }

  mask(nsid: number): number {
    return this.masks.get(nsid) ?? 0;
  }

  /** Masks notifications of a namespace, or (NSID FFFFFFFFh) of all that are attached. */
  setMask(nsid: number, bits: number): void {
    const known = Object.values(reservationMask).reduce((all, bit) => all | bit, 0);
    for (const one of nsid === NSID_ALL ? this.session.controller.nsids : [nsid])
      this.masks.set(one, bits & known);
  }

  /** Something has happened to a reservation: one of `reservationNotification`. */
  notify(nsid: number, type: number): void {
    if ((this.mask(nsid) & (maskBits.get(type) ?? 0)) !== 0) return;
    this.count = this.count === LPC_MAX ? 1 : this.count + 1;
    // As LPC goes on, the host sees that some are missing.
    if (this.waiting.length === NOTICES_MAX) this.waiting.pop();
    this.waiting.push({ lpc: this.count, type, nsid });
    this.session.events.reservationNotice();
  }

  /** The page: the oldest notification, which is gone then unless it is to be retained. */
  page(retain: boolean): Uint8Array {
    const out = new Uint8Array(reservationLog.size);
    const notice = retain ? this.waiting[0] : this.waiting.shift();
    const nalp = this.waiting.length - (retain && notice !== undefined ? 1 : 0);
    if (notice !== undefined) reservationLog.encode({ ...notice, nalp: Math.min(nalp, 255) }, out);
    return out;
  }

  /** The page has been read: of what is left, the host is told again. */
  wasRead(): void {
    if (this.waiting.length > 0) this.session.events.reservationNotice();
  }
}
