import {
  decodeReservationFields,
  nvmOpcode,
  oncs,
  RESERVATION_EDS,
  reservationDataSize,
  reservationKey,
} from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import { gather } from './memory-queue.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfRequest } from './request.ts';
import type { ReservationCommand } from './reservations.ts';
import { respond } from './respond.ts';
import type { ReservationAnswer, ReservationQuestion } from './snapshot.ts';
import { Status } from './status.ts';

/** True of the reservation commands. */
export function isReservation(opcode: number): boolean {
  return (
    opcode === nvmOpcode.reservationRegister ||
    opcode === nvmOpcode.reservationAcquire ||
    opcode === nvmOpcode.reservationRelease ||
    opcode === nvmOpcode.reservationReport
  );
}

/** Whether a controller has reservations: its transport may leave them out (ONCS bit 5). */
export function hasReservations({ masked_oncs }: NvmfController): boolean {
  return (masked_oncs & oncs.reservations) === 0;
}

/**
 * Reservation Register, Acquire, Release and Report (Base 2.0, 7.2 … 7.5): read here, carried out on the control
 * thread, which owns what is reserved. While it does, the command holds nothing of its namespace.
 */
export function executeReservation(
  group: NvmfPollGroup,
  request: NvmfRequest,
  controller: NvmfController,
): void {
  const command = read(group, request);
  if (typeof command === 'number') {
    group.complete(request, command);
    return;
  }
  ask(group, controller, request.nsid, command, (answer) => {
    const { status, data } = answer;
    if (status !== Status.SUCCESS || data === undefined) group.complete(request, status);
    else {
      const length = (request.cdw(10) + 1) * 4;
      respond(group, request, data.subarray(0, Math.min(data.length, length)));
    }
  });
}

/** Asks the control thread about reservations; `answered` runs on the poll group's thread. */
export function ask(
  group: NvmfPollGroup,
  { subsystem, hostid }: NvmfController,
  nsid: number,
  command: ReservationQuestion['command'],
  answered: (answer: ReservationAnswer) => void,
): void {
  const question: ReservationQuestion = { subsystem: subsystem.id, nsid, hostid, command };
  const tell = (answer: ReservationAnswer): void => group.thread.send(() => answered(answer));
  group.reactor.control.call('nvmf', 'reservation', question).then(
    (answer) => tell(answer as ReservationAnswer),
    () => tell({ status: Status.INTERNAL_ERROR }),
  );
}

/** What a request asks for, or the status that it is refused with. */
function read(group: NvmfPollGroup, request: NvmfRequest): ReservationCommand | 'report' | number {
  const { opcode, length } = request;
  if (opcode === nvmOpcode.reservationReport) {
    // Host identifiers of fabrics have 128 bits.
    if ((request.cdw(11) & RESERVATION_EDS) === 0) return Status.HOSTID_FORMAT;
    return length < (request.cdw(10) + 1) * 4 ? Status.SGL_LENGTH_INVALID : 'report';
  }
  const { action, iekey, rtype, cptpl } = decodeReservationFields(request.cdw(10));
  const release = opcode === nvmOpcode.reservationRelease;
  const size = release ? reservationDataSize.release : reservationDataSize.acquire;
  if (length < size) return Status.SGL_LENGTH_INVALID;
  const data = gather(group.reactor.regions, request, size);
  const crkey = reservationKey(data, 0);
  if (release) return { kind: 'release', action, iekey, rtype, crkey };
  const other = reservationKey(data, 8);
  return opcode === nvmOpcode.reservationRegister
    ? { kind: 'register', action, iekey, cptpl, crkey, nrkey: other }
    : { kind: 'acquire', action, iekey, rtype, crkey, prkey: other };
}
