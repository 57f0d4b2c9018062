import type { AdminSession } from './admin-session.ts';
import type { NvmfRequest } from './request.ts';
import type { DiscoveryPart, DiscoveryQuestion } from './snapshot.ts';
import { Status } from './status.ts';

/** What Get Log Page asks of the discovery log page. */
export interface DiscoveryRead {
  readonly offset: number;
  readonly length: number;
  readonly lsp: number;
  /** Retain Asynchronous Event. */
  readonly retain: boolean;
}

/**
 * The discovery log page (70h; Base 2.0, 5.16.1.23) of one controller. The control thread has it; here is remembered
 * which generation the host has begun to read.
 */
export class DiscoveryLog {
  private readonly session: AdminSession;
  private genctr = -1;

  constructor(session: AdminSession) {
    this.session = session;
  }

  /** Answers Get Log Page. */
  read(request: NvmfRequest, { offset, length, lsp, retain }: DiscoveryRead, page: number): void {
    const { session } = this;
    const { group, controller } = session;
    const { hostnqn } = controller;
    const { listenAddress: address } = session.qpair;
    const question: DiscoveryQuestion = { hostnqn, address, lsp, offset, length, genctr: this.genctr };
    const answered = ({ genctr, current, total, bytes }: DiscoveryPart): void => {
      if (offset > total) {
        group.complete(request, Status.INVALID_FIELD);
        return;
      }
      if (offset === 0) this.genctr = genctr;
      session.respond(request, bytes);
      // Of an older page's rest it learns nothing about the event of the newer one.
      if (!retain && current) session.events.logPageRead(page);
    };
    group.reactor.control.call('nvmf', 'discoveryLog', question).then(
      (part) => group.thread.send(() => answered(part as DiscoveryPart)),
      () => group.thread.send(() => group.complete(request, Status.INTERNAL_ERROR)),
    );
  }
}
