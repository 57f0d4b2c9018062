import { TICKS_PER_MS } from '@spdk-ts/env';
import { Logger } from '@spdk-ts/log';
import type { Poller } from '@spdk-ts/reactor';
import type { AdminSession } from './admin-session.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/** What a discovery controller gets whose host asks for none: it would stay for ever otherwise. */
const DISCOVERY_KATO_MS = 120_000;

const log = new Logger('nvmf');

/** How long the other reactors are given to say what the host has done there, ticks. */
const ASK_TICKS = 20 * TICKS_PER_MS;

/**
 * Keep Alive (Base 2.0, 3.9), traffic based (CTRATT.TBKAS): every command of the controller's counts, which
 * {@link Activity} sees twice a second. The timer is looked at when it would expire, and then again when it would
 * after the last sign of the host: a silent one is dropped as its timeout passes.
 */
export class KeepAlive {
  /** Milliseconds; 0: the host may be silent. */
  kato_ms = 0;
  private readonly session: AdminSession;
  private poller: Poller | null = null;
  private last: number;
  /** The other reactors have been asked, at the end of the timeout. */
  private asked = false;

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
    this.asked = false;
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
    const { group, qpair } = this.session;
    if (request.nsid !== 0) {
      group.complete(request, Status.INVALID_FIELD);
      return;
    }
    this.last = group.reactor.now;
    this.asked = false;
    // It is known when this one came: Activity, which is less exact, need not see it.
    qpair.commandsSeen = qpair.commands;
    group.complete(request, Status.SUCCESS);
  }

  /** Ticks since the host was last heard of. */
  private silence(): number {
    const { now } = this.session.group.reactor;
    const idle = this.session.controller.state.idle_ms(Math.floor(now / TICKS_PER_MS)) * TICKS_PER_MS;
    return Math.min(now - this.last, idle);
  }

  private check(): number {
    const { controller, group, properties } = this.session;
    const left = this.kato_ms * TICKS_PER_MS - this.silence();
    if (left > 0) {
      this.asked = false;
      this.wait(left);
      return 0;
    }
    if (!this.asked) {
      this.asked = true;
      group.noteActivity(controller);
      this.wait(ASK_TICKS);
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
