import { Logger } from '@spdk-ts/log';
import {
  capCrms,
  capCss,
  ccCss,
  decodeCc,
  encodeCap,
  encodeCrto,
  encodeCsts,
  NSSR_RESET,
  propertySize,
  register,
  shn,
  shst,
  version,
} from '@spdk-ts/nvme-spec';
import type { Poller } from '@spdk-ts/reactor';
import type { AdminSession } from './admin-session.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/** CAP.TO and CRTO, units of 500 ms: at least what an orderly reset may take. */
const READY_TIMEOUT = 30;
/** How often, and how long, a reset or shutdown looks for the I/O queues to be gone. */
const WAIT_PERIOD_US = 1000;
const WAIT_US = 10_000_000;
/** A host that has reset or shut down the controller may keep its association this long. */
const ASSOCIATION_US = 120_000_000;

const NVME_VERSION = version(2, 0);
const IOSQES = 6;
const IOCQES = 4;

const log = new Logger('nvmf');

/**
 * The controller's properties (Base 2.0, 3.1.3) and the life they stand for: enable, reset, shutdown. A reset or
 * shutdown ends the I/O queues wherever they are, and is reported done when the last one is gone.
 */
export class Properties {
  private readonly session: AdminSession;
  /** Waits for the I/O queues to go. */
  private waiting: Poller | null = null;
  private association: Poller | null = null;

  constructor(session: AdminSession) {
    this.session = session;
  }

  /** Property Get: value in dwords 0 and 1. */
  get(request: NvmfRequest): void {
    const { group } = this.session;
    const size = request.cdw(10) & 0x7;
    const offset = request.cdw(11);
    const value = this.read(offset);
    const wide = offset === register.cap;
    if (value === null || size !== (wide ? propertySize.bytes8 : propertySize.bytes4)) {
      group.complete(request, Status.INVALID_FIELD);
      return;
    }
    [request.dw0, request.dw1] = value;
    group.complete(request, Status.SUCCESS);
  }

  /** Both halves of a property, or null if there is none at this offset. */
  read(offset: number): [number, number] | null {
    const { state, subsystem, transport } = this.session.controller;
    switch (offset) {
      case register.cap: {
        const cap = encodeCap({
          mqes: transport.max_queue_depth - 1,
          cqr: true,
          to: READY_TIMEOUT,
          css: capCss.nvm | capCss.ioCommandSets,
          nssrs: subsystem.snapshot.resets,
          crms: capCrms.withMedia,
        });
        return [cap.lo, cap.hi];
      }
      case register.vs:
        return [NVME_VERSION, 0];
      case register.cc:
        return [state.cc, 0];
      case register.csts:
        return [state.csts, 0];
      case register.crto:
        return [encodeCrto(READY_TIMEOUT, 0), 0];
      case register.nssr:
        return [0, 0];
      default:
        return null;
    }
  }

  /** Property Set. CC can be written, and NSSR where the subsystem can be reset. */
  set(request: NvmfRequest): void {
    const { group } = this.session;
    const size = request.cdw(10) & 0x7;
    const { controller } = this.session;
    const { resets } = controller.subsystem.snapshot;
    if (resets && request.cdw(11) === register.nssr && size === propertySize.bytes4) {
      group.complete(request, Status.SUCCESS);
      if (request.cdw(12) === NSSR_RESET)
        group.reactor.control.notify('nvmf', 'resetSubsystem', controller.subsystem.id);
      return;
    }
    const writable = request.cdw(11) === register.cc && size === propertySize.bytes4;
    group.complete(request, writable ? this.setCc(request.cdw(12)) : Status.INVALID_FIELD);
  }

  /** Writes CC and does what it says. Returns an NVMe status. */
  setCc(value: number): number {
    const { controller, qpair } = this.session;
    const cc = decodeCc(value);
    const before = decodeCc(controller.state.cc);
    if (cc.en && !before.en && this.waiting !== null) return Status.SEQUENCE_ERROR;
    const sizes = (size: number, wanted: number): boolean => size === 0 || size === wanted;
    const acceptable =
      (cc.css === ccCss.nvm || cc.css === ccCss.allIoCommandSets) &&
      cc.mps === 0 &&
      cc.ams === 0 &&
      sizes(cc.iosqes, IOSQES) &&
      sizes(cc.iocqes, IOCQES);
    if (cc.en && !acceptable) return Status.INVALID_FIELD;
    if (cc.shn > shn.abrupt) return Status.INVALID_FIELD;
    controller.state.cc = value;
    if (cc.en && !before.en) this.enable();
    else if (!cc.en && before.en) this.reset();
    else if (cc.shn !== shn.none && cc.shn !== before.shn) this.shutdown(cc.shn);
    if (log.debugging)
      log.debug(`cntlid ${controller.cntlid} (queue pair ${qpair.id}): CC ${value.toString(16)}`);
    return Status.SUCCESS;
  }

  private enable(): void {
    this.stopAssociation();
    this.session.controller.state.csts = encodeCsts({ rdy: true });
  }

  /** CC.EN has been cleared: CSTS.RDY follows when the I/O queues are gone. */
  private reset(): void {
    this.session.events.abortAll();
    this.endQueues('controller reset');
  }

  private shutdown(kind: number): void {
    const { state } = this.session.controller;
    state.csts = encodeCsts({ rdy: (state.csts & 1) !== 0, shst: shst.occurring });
    this.endQueues(kind === shn.abrupt ? 'abrupt shutdown' : 'shutdown');
  }

  private endQueues(reason: string): void {
    const { controller, group } = this.session;
    this.stopWaiting();
    group.disconnectEverywhere(controller, true, reason);
    if (controller.state.ioQueues === 0) {
      this.queuesGone();
      return;
    }
    let left_us = WAIT_US;
    const look = (): number => {
      left_us -= WAIT_PERIOD_US;
      if (controller.state.ioQueues === 0) this.queuesGone();
      else if (left_us <= 0) {
        log.error(
          `cntlid ${controller.cntlid}: ${controller.state.ioQueues} I/O queue(s) did not end at ${reason}`,
        );
        this.fatal();
        this.stopWaiting();
      }
      return 1;
    };
    this.waiting = group.thread.registerPoller('nvmf_ctrlr_end_queues', look, WAIT_PERIOD_US);
  }

  /** A reset, a shutdown or both are complete: CC says which. */
  private queuesGone(): void {
    const { controller, features } = this.session;
    const cc = decodeCc(controller.state.cc);
    const ended = cc.shn === shn.none ? shst.normal : shst.complete;
    this.stopWaiting();
    if (cc.en) controller.state.csts = encodeCsts({ rdy: true, shst: ended });
    else {
      features.reset();
      controller.state.cc = 0;
      controller.state.csts = encodeCsts({ shst: ended });
    }
    this.startAssociation();
  }

  private stopWaiting(): void {
    this.waiting?.unregister();
    this.waiting = null;
  }

  private startAssociation(): void {
    const { controller, group, qpair } = this.session;
    this.stopAssociation();
    if (qpair.traits.memory_based) return;
    this.association = group.thread.registerPoller(
      'nvmf_ctrlr_association',
      () => {
        this.stopAssociation();
        group.disconnectEverywhere(controller, false, 'association timeout');
        return 1;
      },
      ASSOCIATION_US,
    );
  }

  private stopAssociation(): void {
    this.association?.unregister();
    this.association = null;
  }

  /** Controller Fatal Status. */
  fatal(): void {
    const { state } = this.session.controller;
    state.csts = state.csts | encodeCsts({ cfs: true });
  }

  stop(): void {
    this.stopWaiting();
    this.stopAssociation();
  }
}
