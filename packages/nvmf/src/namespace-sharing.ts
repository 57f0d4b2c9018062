import { nmic, rescap } from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import { Gate } from './gates.ts';
import { hasReservations } from './reservation-commands.ts';
import type { NamespaceView } from './subsystem-view.ts';

const reservationTypes =
  rescap.writeExclusive |
  rescap.exclusiveAccess |
  rescap.writeExclusiveRegistrantsOnly |
  rescap.exclusiveAccessRegistrantsOnly |
  rescap.writeExclusiveAllRegistrants |
  rescap.exclusiveAccessAllRegistrants;

/** What a namespace says of reservations and its ANA group, wherever it says it. */
export function sharing(controller: NvmfController, { snapshot }: NamespaceView) {
  const persist = snapshot.ptpl ? rescap.persistThroughPowerLoss : 0;
  return {
    nmic: nmic.shared,
    rescap: hasReservations(controller) ? reservationTypes | rescap.ignoreExistingKey | persist : 0,
    anagrpid: controller.subsystem.snapshot.ana === null ? 0 : snapshot.anagrpid,
  };
}

/** True where the ANA state is inaccessible: then it is not known how much of the namespace is in use (Base 2.0, 8.1.3.3). */
export function isInaccessible({ gates }: NvmfController, { nsid }: NamespaceView): boolean {
  return (gates[nsid]! & Gate.INACCESSIBLE) !== 0;
}
