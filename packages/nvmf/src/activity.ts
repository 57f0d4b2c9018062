import { TICKS_PER_MS } from '@spdk-ts/env';
import type { Poller } from '@spdk-ts/reactor';
import type { NvmfController } from './controller.ts';
import { BUSY_SLOT_MS } from './controller-state.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfQpair } from './qpair.ts';

/**
 * Looks twice a second which controllers have had commands on this reactor: for traffic based keep alive (Base 2.0, 3.9)
 * and the busy time of SMART. A command costs no more than its count.
 */
export class Activity {
  private readonly group: NvmfPollGroup;
  private poller: Poller | null = null;

  constructor(group: NvmfPollGroup) {
    this.group = group;
  }

  /** A controller has a new queue pair, by a Connect command just now. Looks from now on, as long as there is any. */
  began(controller: NvmfController, qpair: NvmfQpair): void {
    controller.state.touch(this.now_ms);
    qpair.commandsSeen = qpair.commands;
    this.poller ??= this.group.thread.registerPoller(
      'nvmf_ctrlr_activity',
      () => this.look(),
      BUSY_SLOT_MS * 1000,
    );
  }

  private get now_ms(): number {
    return Math.floor(this.group.reactor.now / TICKS_PER_MS);
  }

  private look(): number {
    const { controllers } = this.group;
    for (const controller of controllers.values()) this.note(controller);
    if (controllers.size === 0) this.stop();
    return 0;
  }

  /** Notes what a controller's queue pairs have done here since this was last asked. */
  note(controller: NvmfController): void {
    const { now_ms } = this;
    for (const [qid, qpair] of controller.qpairs) {
      const busy = qpair.outstanding > 0;
      const commands = qpair.commands;
      if (!busy && commands === qpair.commandsSeen) continue;
      qpair.commandsSeen = commands;
      controller.state.touch(now_ms);
      if (qid > 0) controller.state.busyIn(Math.floor(now_ms / BUSY_SLOT_MS));
    }
  }

  stop(): void {
    this.poller?.unregister();
    this.poller = null;
  }
}
