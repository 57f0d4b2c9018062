import { TICKS_PER_MS } from '@spdk-ts/env';
import { Logger } from '@spdk-ts/log';
import type { Poller } from '@spdk-ts/reactor';
import type { AdminSession } from './admin-session.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/** What a discovery controller gets whose host asks for none: it would stay for ever otherwise. */
const DISCOVERY_KATO_MS = 120_000;

const log = new Logger('nvmf');

/**
 * Keep Alive (Base 2.0, 3.9), command based: only the Keep Alive command counts. The timer is looked at when it would
 * expire, and then again when it would after the last Keep Alive: a silent host is dropped as its timeout passes.
 */
export class KeepAlive {
  /** Milliseconds; 0: the host may be silent. */
  kato_ms = 0;
  private readonly session: AdminSession;
  private poller: Poller | null = null;
  private last: number;

  constructor(session: AdminSession, kato_ms: number) {
    this.session = session;
    this.last = session.group.reactor.now;
    this.set(kato_ms);
  }

  /** Takes a timeout as the host asks for it: rounded up to the granularity, and to the least that is allowed. */
  set(asked_ms: number): void {
    const { controller, group } = this.session;
    const unit_ms = controller.transport.kas * 100;
    const wanted_ms = asked_ms === 0 && controller.subsystem.discovery ? DISCOVERY_KATO_MS : asked_ms;
    const least_ms = wanted_ms === 0 ? 0 : Math.max(wanted_ms, controller.transport.min_kato);
    this.kato_ms = unit_ms === 0 ? least_ms : Math.ceil(least_ms / unit_ms) * unit_ms;
    this.stop();
    this.last = group.reactor.now;
    if (this.kato_ms === 0) return;
    this.wait(this.kato_ms * TICKS_PER_MS);
  }

  /** Looks at the timer after so many ticks. */
  private wait(ticks: number): void {
    this.stop();
    this.poller = this.session.group.thread.registerPoller(
      'nvmf_ctrlr_keep_alive',
      () => this.check(),
      Math.ceil((ticks / TICKS_PER_MS) * 1000),
    );
  }

  /** A Keep Alive command. */
  command(request: NvmfRequest): void {
    const { group } = this.session;
    if (request.nsid !== 0) {
      group.complete(request, Status.INVALID_FIELD);
      return;
    }
    this.last = group.reactor.now;
    group.complete(request, Status.SUCCESS);
  }

  private check(): number {
    const { controller, group, properties } = this.session;
    const left = this.kato_ms * TICKS_PER_MS - (group.reactor.now - this.last);
    if (left > 0) {
      this.wait(left);
      return 0;
    }
    const { subsystem, hostnqn } = controller;
    log.notice(
      `Disconnecting host ${hostnqn} from subsystem ${subsystem.nqn} due to keep alive timeout ` +
        `(${this.kato_ms} ms, cntlid ${controller.cntlid}).`,
    );
    this.stop();
    properties.fatal();
    group.disconnectEverywhere(controller, false, 'keep alive timeout');
    return 1;
  }

  stop(): void {
    this.poller?.unregister();
    this.poller = null;
  }
}
