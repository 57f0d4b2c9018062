import {
  reservationAcquireAction as acquireAction,
  reservationRegisterAction as registerAction,
  reservationReleaseAction as releaseAction,
  reservationCptpl,
  reservationNotification,
  reservationType,
} from '@spdk-ts/nvme-spec';
import { Status } from './status.ts';

/*
 * Reservations of one namespace (Base 2.0, 8.19): what the commands do to its state. Nothing here has a side
 * effect; the control thread keeps the state, and makes it known.
 */

/** A host that has registered a key. */
export interface Registrant {
  /** 32 hexadecimal digits. */
  readonly hostid: string;
  readonly rkey: bigint;
}

export interface ReservationState {
  /** Counts commands that changed registrations: GEN of the report, 32 bits. */
  readonly generation: number;
  /** One of `reservationType`; none: there is no reservation. */
  readonly rtype: number;
  /** Who acquired it, if there is one; of the types for all registrants every registrant holds it. */
  readonly holder: string | null;
  readonly registrants: readonly Registrant[];
  /** Persist Through Power Loss State. */
  readonly ptpl: boolean;
}

export const noReservation: ReservationState = {
  ...{ generation: 0, rtype: reservationType.none, holder: null, registrants: [], ptpl: false },
};

/** A command that changes the state, or (persist) Set Features 83h. */
export type ReservationCommand =
  | {
      readonly kind: 'register';
      readonly action: number;
      readonly iekey: boolean;
      readonly cptpl: number;
      readonly crkey: bigint;
      readonly nrkey: bigint;
    }
  | {
      readonly kind: 'acquire';
      readonly action: number;
      readonly iekey: boolean;
      readonly rtype: number;
      readonly crkey: bigint;
      readonly prkey: bigint;
    }
  | {
      readonly kind: 'release';
      readonly action: number;
      readonly iekey: boolean;
      readonly rtype: number;
      readonly crkey: bigint;
    }
  | { readonly kind: 'persist'; readonly ptpl: boolean };

/** What a namespace allows. */
export interface ReservationLimits {
  readonly max_registrants: number;
  /** It has a file that keeps its reservations. */
  readonly persists: boolean;
}

/** A notification to hosts, one of `reservationNotification`. */
export interface ReservationNotice {
  readonly type: number;
  readonly hostids: readonly string[];
}

export interface ReservationOutcome {
  readonly status: number;
  /** As it was, the same object, if nothing has changed. */
  readonly state: ReservationState;
  readonly notices: readonly ReservationNotice[];
  /** Hosts whose commands are to be aborted. */
  readonly aborts: readonly string[];
}

/** How the reservation bears on the I/O commands of a host. */
export const Refuses = { NOTHING: 0, WRITES: 1, ALL: 2 } as const;

/** What the reactors need to know: what is refused, and to whom it is not. */
export interface ReservationAccess {
  /** One of {@link Refuses}. */
  readonly refuses: number;
  /** Host identifiers. */
  readonly exempt: readonly string[];
}

const { writeExclusive, exclusiveAccess, writeExclusiveAllRegistrants, exclusiveAccessAllRegistrants } =
  reservationType;

export function forAllRegistrants(rtype: number): boolean {
  return rtype === writeExclusiveAllRegistrants || rtype === exclusiveAccessAllRegistrants;
}

/** True of the types whose end registrants are told of: those that let them do something. */
function concernsRegistrants(rtype: number): boolean {
  return rtype !== reservationType.none && rtype !== writeExclusive && rtype !== exclusiveAccess;
}

/** Whether a host holds the reservation. */
export function holds({ rtype, holder, registrants }: ReservationState, hostid: string): boolean {
  if (rtype === reservationType.none) return false;
  if (forAllRegistrants(rtype)) return registrants.some((other) => other.hostid === hostid);
  return holder === hostid;
}

/** The access that a state gives (Base 2.0, 8.19, "Command Behavior in the Presence of a Reservation"). */
export function accessOf({ rtype, holder, registrants }: ReservationState): ReservationAccess {
  if (rtype === reservationType.none) return { refuses: Refuses.NOTHING, exempt: [] };
  // The types alternate: write exclusive, exclusive access.
  const refuses = (rtype & 1) === 1 ? Refuses.WRITES : Refuses.ALL;
  const exempt = concernsRegistrants(rtype) ? registrants.map(({ hostid }) => hostid) : [holder!];
  return { refuses, exempt };
}

const GENERATIONS = 2 ** 32;

/** What a command of a host does. */
export function decideReservation(
  state: ReservationState,
  hostid: string,
  command: ReservationCommand,
  limits: ReservationLimits,
): ReservationOutcome {
  return new Decision(state, hostid, limits).take(command);
}

/** The next state, as it is being made. */
class Decision {
  private readonly before: ReservationState;
  private readonly hostid: string;
  private readonly limits: ReservationLimits;
  private next: ReservationState;
  private notices: ReservationNotice[] = [];
  private aborts: string[] = [];

  constructor(state: ReservationState, hostid: string, limits: ReservationLimits) {
    this.before = state;
    this.next = state;
    this.hostid = hostid;
    this.limits = limits;
  }

  take(command: ReservationCommand): ReservationOutcome {
    const status = this.statusOf(command);
    if (status !== Status.SUCCESS) return { status, state: this.before, notices: [], aborts: [] };
    return { status, state: this.next, notices: this.notices, aborts: this.aborts };
  }

  private statusOf(command: ReservationCommand): number {
    switch (command.kind) {
      case 'register':
        return this.register(command);
      case 'acquire':
        return this.acquire(command);
      case 'release':
        return this.release(command);
      case 'persist':
        return this.persist(command.ptpl);
    }
  }

  private get own(): Registrant | undefined {
    return this.before.registrants.find(({ hostid }) => hostid === this.hostid);
  }

  /** The command is of a registrant, and names its key. */
  private keyMatches(crkey: bigint): boolean {
    return this.own !== undefined && this.own.rkey === crkey;
  }

  private change(changes: Partial<ReservationState>): void {
    this.next = { ...this.next, ...changes };
  }

  private changesRegistrations(): number {
    this.change({ generation: (this.before.generation + 1) % GENERATIONS });
    return Status.SUCCESS;
  }

  /** Tells hosts, this one aside. */
  private notify(type: number, hosts: readonly Registrant[]): void {
    const hostids = hosts.map(({ hostid }) => hostid).filter((hostid) => hostid !== this.hostid);
    if (hostids.length > 0) this.notices.push({ type, hostids });
  }

  // --- Reservation Register ---

  private register(command: ReservationCommand & { kind: 'register' }): number {
    const { cptpl } = command;
    if (cptpl === 1 || (cptpl === reservationCptpl.set && !this.limits.persists)) return Status.INVALID_FIELD;
    const status = this.registration(command);
    if (status !== Status.SUCCESS) return status;
    if (cptpl !== reservationCptpl.noChange) this.change({ ptpl: cptpl === reservationCptpl.set });
    return this.changesRegistrations();
  }

  private registration(command: ReservationCommand & { kind: 'register' }): number {
    const { action, iekey, crkey, nrkey } = command;
    const { own } = this;
    switch (action) {
      case registerAction.register:
        if (own !== undefined) return own.rkey === nrkey ? Status.SUCCESS : Status.RESERVATION_CONFLICT;
        return this.add(nrkey);
      case registerAction.unregister:
        if (own === undefined || (!iekey && own.rkey !== crkey)) return Status.RESERVATION_CONFLICT;
        this.removeSelf();
        return Status.SUCCESS;
      case registerAction.replace:
        if (own === undefined) return iekey ? this.add(nrkey) : Status.RESERVATION_CONFLICT;
        if (!iekey && own.rkey !== crkey) return Status.RESERVATION_CONFLICT;
        return this.replace(nrkey);
      default:
        return Status.INVALID_FIELD;
    }
  }

  private add(rkey: bigint): number {
    const { registrants } = this.before;
    if (rkey === 0n) return Status.INVALID_FIELD;
    if (registrants.length >= this.limits.max_registrants) return Status.NOT_ENOUGH_RESOURCES;
    this.change({ registrants: [...registrants, { hostid: this.hostid, rkey }] });
    return Status.SUCCESS;
  }

  private replace(rkey: bigint): number {
    if (rkey === 0n) return Status.INVALID_FIELD;
    this.change({
      registrants: this.before.registrants.map((one) =>
        one.hostid === this.hostid ? { hostid: one.hostid, rkey } : one,
      ),
    });
    return Status.SUCCESS;
  }

  private removeSelf(): void {
    const { rtype } = this.before;
    this.remove(({ hostid }) => hostid === this.hostid);
    if (this.next.rtype === reservationType.none && concernsRegistrants(rtype))
      this.notify(reservationNotification.reservationReleased, this.next.registrants);
  }

  /** Unregisters hosts. A reservation that nobody holds any more is released. Returns who has gone. */
  private remove(which: (one: Registrant) => boolean): Registrant[] {
    const { rtype, holder, registrants } = this.next;
    const gone = registrants.filter(which);
    const left = registrants.filter((one) => !gone.includes(one));
    const held =
      rtype !== reservationType.none &&
      (forAllRegistrants(rtype) ? left.length > 0 : left.some(({ hostid }) => hostid === holder));
    this.change({ registrants: left });
    if (!held) this.change({ rtype: reservationType.none, holder: null });
    else if (!left.some(({ hostid }) => hostid === holder)) this.change({ holder: left[0]!.hostid });
    return gone;
  }

  // --- Reservation Acquire ---

  private acquire(command: ReservationCommand & { kind: 'acquire' }): number {
    const { action, iekey, rtype, crkey, prkey } = command;
    if (iekey || rtype < writeExclusive || rtype > exclusiveAccessAllRegistrants) return Status.INVALID_FIELD;
    if (action > acquireAction.preemptAndAbort) return Status.INVALID_FIELD;
    if (!this.keyMatches(crkey)) return Status.RESERVATION_CONFLICT;
    if (action === acquireAction.acquire) return this.acquireFree(rtype);
    return this.preempt(rtype, prkey, action === acquireAction.preemptAndAbort);
  }

  private acquireFree(rtype: number): number {
    const { before, hostid } = this;
    if (before.rtype === reservationType.none) {
      this.change({ rtype, holder: hostid });
      return Status.SUCCESS;
    }
    return holds(before, hostid) && before.rtype === rtype ? Status.SUCCESS : Status.RESERVATION_CONFLICT;
  }

  private preempt(rtype: number, prkey: bigint, abort: boolean): number {
    const { before, hostid } = this;
    const all = forAllRegistrants(before.rtype);
    const other = (one: Registrant): boolean => one.hostid !== hostid;
    const holder = before.registrants.find((one) => one.hostid === before.holder);
    let gone: Registrant[];
    if (before.rtype !== reservationType.none && (all ? prkey === 0n : holder!.rkey === prkey)) {
      // The reservation passes to this host; it stays registered, whatever its key is.
      gone = this.remove((one) => other(one) && (all || one.rkey === prkey));
      this.change({ rtype, holder: hostid });
      if (concernsRegistrants(before.rtype) && before.rtype !== rtype)
        this.notify(reservationNotification.reservationReleased, this.next.registrants);
    } else if (prkey === 0n && before.rtype !== reservationType.none) return Status.INVALID_FIELD;
    else {
      gone = this.remove(({ rkey }) => rkey === prkey);
      if (gone.length === 0) return Status.RESERVATION_CONFLICT;
    }
    this.notify(reservationNotification.registrationPreempted, gone);
    if (abort) this.aborts = gone.filter(other).map((one) => one.hostid);
    return this.changesRegistrations();
  }

  // --- Reservation Release ---

  private release(command: ReservationCommand & { kind: 'release' }): number {
    const { action, iekey, rtype, crkey } = command;
    if (iekey || action > releaseAction.clear) return Status.INVALID_FIELD;
    if (!this.keyMatches(crkey)) return Status.RESERVATION_CONFLICT;
    const { before } = this;
    if (action === releaseAction.clear) {
      this.change({ rtype: reservationType.none, holder: null, registrants: [] });
      this.notify(reservationNotification.reservationPreempted, before.registrants);
      return this.changesRegistrations();
    }
    if (before.rtype === reservationType.none) return Status.SUCCESS;
    if (before.rtype !== rtype) return Status.INVALID_FIELD;
    if (!holds(before, this.hostid)) return Status.SUCCESS;
    this.change({ rtype: reservationType.none, holder: null });
    if (concernsRegistrants(rtype))
      this.notify(reservationNotification.reservationReleased, before.registrants);
    return Status.SUCCESS;
  }

  // --- Set Features 83h ---

  private persist(ptpl: boolean): number {
    if (ptpl && !this.limits.persists) return Status.INVALID_FIELD;
    if (ptpl !== this.before.ptpl) this.change({ ptpl });
    return Status.SUCCESS;
  }
}
