import { Logger } from '@spdk-ts/log';
import { CNTLID_DYNAMIC, encodeReservationStatus } from '@spdk-ts/nvme-spec';
import type { ReactorHost } from '@spdk-ts/reactor';
import {
  decideReservation,
  holds,
  noReservation,
  type ReservationCommand,
  type ReservationOutcome,
  type ReservationState,
} from '../reservations.ts';
import type { ReservationAnswer, ReservationChange, ReservationQuestion } from '../snapshot.ts';
import { Status } from '../status.ts';
import { loadReservation, saveReservation } from './ptpl-control.ts';
import type { NamespaceRecord, Subsystem } from './subsystem.ts';

/** Hosts that may register with a namespace: the default, SPDK's, and the most there can be. */
export const REGISTRANTS_DEFAULT = 16;
export const REGISTRANTS_MAX = 4096;

/** The reservations of one namespace: the truth. */
export class NamespaceReservations {
  /** Keeps them through a loss of power, if the host wants that. */
  readonly file: string | undefined;
  readonly max_registrants: number;
  private readonly bdev_uuid: string;
  private current: ReservationState = noReservation;
  private commands: Promise<unknown> = Promise.resolve();

  constructor(bdev_uuid: string, file: string | undefined, max_registrants: number) {
    this.bdev_uuid = bdev_uuid;
    this.file = file;
    this.max_registrants = max_registrants;
  }

  /** Takes what the file keeps. Rejects with an Error that says what is wrong with it. */
  async restore(): Promise<void> {
    if (this.file !== undefined) this.current = await loadReservation(this.file, this.bdev_uuid);
  }

  get state(): ReservationState {
    return this.current;
  }

  /** Commands are carried out one after the other. */
  serialize<T>(command: () => Promise<T>): Promise<T> {
    const result = this.commands.then(command);
    this.commands = result.catch(() => {});
    return result;
  }

  /** Resolves when no command is under way. */
  async settled(): Promise<void> {
    await this.commands;
  }

  decide(hostid: string, command: ReservationCommand): ReservationOutcome {
    const { max_registrants, file } = this;
    return decideReservation(this.current, hostid, command, {
      max_registrants,
      persists: file !== undefined,
    });
  }

  /** Takes the next state, once it is kept where it must be. Rejects with the system's error, and nothing has changed. */
  async become(next: ReservationState): Promise<void> {
    if (this.file !== undefined && (next.ptpl || this.current.ptpl))
      await saveReservation(this.file, this.bdev_uuid, next);
    this.current = next;
  }
}

/** What the reservations need to know of the target. */
export interface ReservingTarget {
  readonly host: ReactorHost;
  /** By number. */
  find(id: number): Subsystem | undefined;
}

/**
 * Carries out the reservation commands of all hosts (Base 2.0, 8.19). A command is answered when its effect is kept,
 * and every reactor knows of it and has ended the I/O that it forbids.
 */
export class Reservations {
  private readonly target: ReservingTarget;
  private readonly log = new Logger('nvmf');

  constructor(target: ReservingTarget) {
    this.target = target;
  }

  async answer(question: ReservationQuestion): Promise<ReservationAnswer> {
    const { subsystem: id, nsid, hostid, command } = question;
    const subsystem = this.target.find(id);
    const record = subsystem?.namespaces.get(nsid);
    if (subsystem === undefined || record === undefined) return { status: Status.INVALID_NAMESPACE };
    const { state } = record.reservations;
    if (command === 'report') return { status: Status.SUCCESS, data: report(state, subsystem) };
    if (command === 'persistence') return { status: Status.SUCCESS, ptpl: state.ptpl };
    return await record.reservations.serialize(() => this.carryOut(subsystem, record, hostid, command));
  }

  private async carryOut(
    subsystem: Subsystem,
    record: NamespaceRecord,
    hostid: string,
    command: ReservationCommand,
  ): Promise<ReservationAnswer> {
    const { nsid, reservations } = record;
    if (subsystem.namespaces.get(nsid) !== record) return { status: Status.INVALID_NAMESPACE };
    const { status, state, notices, aborts } = reservations.decide(hostid, command);
    if (status !== Status.SUCCESS || state === reservations.state) return { status };
    const failed = (error: Error): ReservationAnswer => {
      this.log.error(`subsystem ${subsystem.nqn}: reservations of namespace ${nsid}: ${error.message}`);
      return { status: Status.INTERNAL_ERROR };
    };
    try {
      await reservations.become(state);
    } catch (error) {
      return failed(error as Error);
    }
    const left = await this.spread(subsystem, record, aborts);
    const { host } = this.target;
    for (const notice of notices)
      await host.broadcast('nvmf', 'reservationNotice', { id: subsystem.id, nsid, ...notice });
    if (left > 0) return failed(new Error(`${left} command(s) that it forbids have not ended`));
    return { status };
  }

  /** Returns how many commands that are forbidden now, or were to be aborted, have not ended. */
  private async spread(
    subsystem: Subsystem,
    record: NamespaceRecord,
    aborts: readonly string[],
  ): Promise<number> {
    const { nsid, access } = subsystem.namespaceSnapshot(record);
    const { id: bdev } = record.descriptor.description;
    const change: ReservationChange = { id: subsystem.id, nsid, bdev, access, aborts };
    const left = (await this.target.host.broadcast('nvmf', 'setReservation', change)) as number[];
    return left.reduce((sum, count) => sum + count, 0);
  }
}

/**
 * Reservation Status (Base 2.0, 7.5): one entry for each registrant, as dynamic controllers have no number to tell; of static
 * ones an entry for each that the registrant has now.
 */
function report(state: ReservationState, { options, controllers }: Subsystem): Uint8Array {
  const cntlidsOf = (hostid: string): number[] => {
    const its = options.static_controllers ? [...controllers.values()] : [];
    const cntlids = its.filter((one) => one.hostid === hostid).map(({ cntlid }) => cntlid);
    return cntlids.length > 0 ? cntlids.sort((a, b) => a - b) : [CNTLID_DYNAMIC];
  };
  const { generation, rtype, ptpl, registrants } = state;
  return encodeReservationStatus({
    ...{ generation, rtype, ptpls: ptpl ? 1 : 0 },
    registered: registrants.flatMap(({ hostid, rkey }) =>
      cntlidsOf(hostid).map((cntlid) => ({
        cntlid,
        holder: holds(state, hostid),
        rkey,
        hostid: Uint8Array.from(Buffer.from(hostid, 'hex')),
      })),
    ),
  });
}
