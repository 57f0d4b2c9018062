import { TICKS_PER_MS } from '@spdk-ts/env';
import { NSID_ALL, nvmOpcode } from '@spdk-ts/nvme-spec';
import type { Poller } from '@spdk-ts/reactor';
import type { NvmfController } from './controller.ts';
import { Gate, refusalOf, touchesMedium } from './gates.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfRequest } from './request.ts';
import type { SubsystemView } from './subsystem-view.ts';

/** How often a fence looks, and for how long one of a reservation does. */
const PERIOD_US = 100;
const LIMIT_MS = 10_000;

const RESERVED = Gate.NO_READ | Gate.NO_WRITE;

type Concerns = (request: NvmfRequest, controller: NvmfController) => boolean;

/** Calls `fn` with each request of I/O queues of a subsystem's controllers that are here, idle ones included. */
function eachRequest(
  group: NvmfPollGroup,
  subsystem: SubsystemView,
  fn: (request: NvmfRequest, controller: NvmfController) => void,
): void {
  for (const controller of group.controllers.values()) {
    if (controller.subsystem !== subsystem) continue;
    for (const [qid, qpair] of controller.qpairs)
      if (qid !== 0) for (const request of qpair.allRequests) fn(request, controller);
  }
}

/**
 * Waits for commands that were under way when something changed: those that `concerns` says, of new ones none. Nothing
 * is counted for it while nothing changes. Resolves to how many are left when `limit_ms` is over.
 */
function whenEnded(
  group: NvmfPollGroup,
  subsystem: SubsystemView,
  concerns: Concerns,
  more: () => boolean,
  limit_ms: number,
): Promise<number> {
  const left = (): number => {
    let count = more() ? 1 : 0;
    eachRequest(group, subsystem, (request, controller) => {
      if (concerns(request, controller)) count++;
    });
    return count;
  };
  if (left() === 0) return Promise.resolve(0);
  subsystem.fences++;
  return new Promise((resolve) => {
    const end = group.reactor.now + limit_ms * TICKS_PER_MS;
    const poller: Poller = group.thread.registerPoller(
      'nvmf_ns_fence',
      () => {
        const count = left();
        if (count > 0 && group.reactor.now < end) return 0;
        poller.unregister();
        subsystem.fences--;
        resolve(count);
        return 1;
      },
      PERIOD_US,
    );
  });
}

/** True of a command at a namespace, or at all. */
const isAt = (request: NvmfRequest, nsid: number): boolean =>
  request.nsid === nsid || (request.nsid === NSID_ALL && request.opcode === nvmOpcode.flush);

/** What executes and does not wait for a change, or has a place of its own that its data are coming to. */
const underWay = (request: NvmfRequest, { queued }: SubsystemView): boolean =>
  (request.executing && !queued.includes(request)) || request.placed !== null;

/**
 * Resolves when the commands that a reservation refuses by now have ended, and those of `preempted` hosts, which are
 * aborted: to how many have not.
 */
export function fenceReservation(
  group: NvmfPollGroup,
  subsystem: SubsystemView,
  nsid: number,
  preempted: readonly string[],
): Promise<number> {
  const { aborts } = group;
  if (preempted.length > 0)
    eachRequest(group, subsystem, (request, { hostid }) => {
      const live = request.nsid === nsid && request.qpair.findRequest(request.cid) === request;
      if (live && preempted.includes(hostid) && touchesMedium(request.opcode)) aborts.preempt(request);
    });
  const concerns: Concerns = (request, { gates }) =>
    isAt(request, nsid) &&
    (aborts.isPreempted(request) ||
      (underWay(request, subsystem) && refusalOf(gates[nsid]! & RESERVED, request.opcode) !== 0));
  return whenEnded(group, subsystem, concerns, () => false, LIMIT_MS);
}

/** Resolves when hosts that a namespace is hidden from have no command at it under way: to how many have not ended. */
export function fenceHidden(group: NvmfPollGroup, subsystem: SubsystemView, nsid: number): Promise<number> {
  const concerns: Concerns = (request, { gates }) =>
    isAt(request, nsid) && underWay(request, subsystem) && (gates[nsid]! & Gate.HIDDEN) !== 0;
  return whenEnded(group, subsystem, concerns, () => false, LIMIT_MS);
}

/** Resolves when nothing uses a namespace any more whose new commands wait: its I/O has ended, its data have been sent. */
export async function drainNamespace(
  group: NvmfPollGroup,
  subsystem: SubsystemView,
  nsid: number,
): Promise<void> {
  const ns = subsystem.find(nsid);
  const concerns: Concerns = (request) =>
    isAt(request, nsid) &&
    (request.io !== null || (underWay(request, subsystem) && touchesMedium(request.opcode)));
  const loose = (): boolean => ns !== null && ns.loose > 0;
  await whenEnded(group, subsystem, concerns, loose, Number.POSITIVE_INFINITY);
}
