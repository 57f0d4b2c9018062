import { TICKS_PER_MS } from '@spdk-ts/env';
import { adminOpcode } from '@spdk-ts/nvme-spec';
import type { Poller } from '@spdk-ts/reactor';
import type { Commands } from './commands.ts';
import { NvmeError } from './errors.ts';
import type { NvmePollGroup } from './poll-group.ts';
import type { NvmeQpair } from './qpair.ts';

/**
 * Sends Keep Alive (Base 2.0, 3.9) twice in each timeout, and fails the admin queue where one is not answered within the
 * timeout. One at a time.
 */
export class KeepAlive {
  private readonly group: NvmePollGroup;
  private readonly qpair: NvmeQpair;
  private readonly admin: Commands;
  private poller: Poller | null = null;
  /** When the one under way was sent, ticks, or -1. */
  private since = -1;

  constructor(group: NvmePollGroup, qpair: NvmeQpair, admin: Commands) {
    this.group = group;
    this.qpair = qpair;
    this.admin = admin;
  }

  start(timeout_ms: number): void {
    this.stop();
    this.since = -1;
    this.poller = this.group.thread.registerPoller(
      'nvme_keep_alive',
      () => this.send(timeout_ms),
      Math.max(1, Math.floor(timeout_ms / 2)) * 1000,
    );
  }

  stop(): void {
    this.poller?.unregister();
    this.poller = null;
  }

  private send(timeout_ms: number): number {
    const { now } = this.group.reactor;
    if (this.since >= 0) {
      if (now - this.since > timeout_ms * TICKS_PER_MS)
        this.qpair.fail(new NvmeError('ETIMEOUT', `${this.qpair.name}: Keep Alive is not answered`));
      return 0;
    }
    this.since = now;
    const answered = (): void => {
      this.since = -1;
    };
    this.admin.run({ opcode: adminOpcode.keepAlive }, { what: 'Keep Alive' }).then(answered, answered);
    return 1;
  }
}
