import { fabricsType } from '@spdk-ts/nvme-spec';
import type { Poller } from '@spdk-ts/reactor';
import { Connects } from './connect.ts';
import { LazyAuthentication } from './lazy-authentication.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/** How often a Disconnect looks whether its queue is empty; how long the host may then take to close. */
const DRAIN_PERIOD_US = 1000;
const CLOSE_US = 1_000_000;

/** Fabrics commands (Base 2.0, 6): Connect, Authentication Send and Receive, Property Get and Set, Disconnect. */
export class FabricsCommands {
  private readonly group: NvmfPollGroup;
  private readonly connects: Connects;
  private readonly authentication: LazyAuthentication;

  constructor(group: NvmfPollGroup) {
    this.group = group;
    this.authentication = new LazyAuthentication(group);
    this.connects = new Connects(group, this.authentication);
  }

  execute(request: NvmfRequest): void {
    const { group } = this;
    const { controller } = request.qpair;
    const type = request.nsid & 0xff;
    if (type === fabricsType.connect) this.connects.execute(request);
    else if (type === fabricsType.authenticationSend || type === fabricsType.authenticationReceive)
      this.authentication.execute(request);
    else if (controller === null) group.refuseUnready(request);
    else if (type === fabricsType.disconnect) this.disconnect(request);
    else if (controller.admin === null || request.qpair.qid !== 0)
      group.complete(request, Status.INVALID_OPCODE);
    else if (type === fabricsType.propertyGet) controller.admin.properties.get(request);
    else if (type === fabricsType.propertySet) controller.admin.properties.set(request);
    else group.complete(request, Status.INVALID_OPCODE);
  }

  /** Disconnect (Base 2.0, 6.4): ends an I/O queue once its other commands have. */
  private disconnect(request: NvmfRequest): void {
    const { group } = this;
    const { qpair } = request;
    const recfmt = request.cdw(10) & 0xffff;
    if (qpair.qid === 0) group.complete(request, Status.INVALID_QUEUE_TYPE);
    else if (recfmt !== 0) group.complete(request, Status.FORMAT);
    else {
      const poller: Poller = group.thread.registerPoller(
        'nvmf_qpair_disconnect',
        () => {
          if (qpair.outstanding > 1 && !qpair.disconnecting) return 0;
          poller.unregister();
          group.complete(request, Status.SUCCESS);
          this.closeLater(request);
          return 1;
        },
        DRAIN_PERIOD_US,
      );
    }
  }

  /** The host should close the connection of a queue that is no more; if it does not, we do. */
  private closeLater({ qpair }: NvmfRequest): void {
    const poller: Poller = this.group.thread.registerPoller(
      'nvmf_qpair_close',
      () => {
        poller.unregister();
        if (!qpair.disconnecting && this.group.qpairs.has(qpair)) qpair.disconnect('Disconnect command');
        return 1;
      },
      CLOSE_US,
    );
  }
}
