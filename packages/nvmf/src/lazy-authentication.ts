import { Logger } from '@spdk-ts/log';
import type { Authentication } from './authentication.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

const log = new Logger('nvmf_auth');

/** Authentication on one reactor. Its code is loaded for the first queue pair that must, or wants to, prove itself. */
export class LazyAuthentication {
  private readonly group: NvmfPollGroup;
  private loading: Promise<Authentication | null> | null = null;
  private loaded: Authentication | null = null;

  constructor(group: NvmfPollGroup) {
    this.group = group;
  }

  /** Null if it cannot be loaded, which is logged; the next call tries again. */
  load(): Promise<Authentication | null> {
    this.loading ??= import('./authentication.ts').then(
      ({ Authentication }) => {
        this.loaded = new Authentication(this.group);
        return this.loaded;
      },
      (error: Error) => {
        this.loading = null;
        log.error(`authentication cannot be loaded: ${error.message}`);
        return null;
      },
    );
    return this.loading;
  }

  /** Authentication Send or Receive. */
  execute(request: NvmfRequest): void {
    const { group } = this;
    if (this.loaded !== null) this.loaded.execute(request);
    else
      void this.load().then((loaded) =>
        group.thread.send(() => {
          if (request.qpair.disconnecting) group.complete(request, Status.ABORTED_SQ_DELETION);
          else if (loaded === null) group.complete(request, Status.INTERNAL_ERROR);
          else loaded.execute(request);
        }),
      );
  }
}
