import {
  type BdevDescription,
  type BdevInstance,
  type BdevReactorModule,
  registerReactorModule,
} from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import {
  type AuthParams,
  type CommandData,
  type CommandFields,
  type ControllerEvent,
  type IoQueueParams,
  NvmeController,
  NvmeError,
  NvmePollGroup,
} from '@spdk-ts/nvme';
import type { Reactor, ReactorPlugin, ReactorService } from '@spdk-ts/reactor';
import { NvmeChannel } from './channel.ts';
import type { AttachedController, AttachParams, EventMessage, NvmeContext, PathMessage } from './context.ts';
import { DiscoveryReactor, type StartDiscovery } from './discovery-reactor.ts';
import type { KeyOptions } from './keys-control.ts';
import { ReactorPath } from './path.ts';

const log = new Logger('bdev_nvme');

/** Controllers that live on one reactor, and its paths to all of them. */
class NvmeReactor {
  private readonly reactor: Reactor;
  private readonly controllers = new Map<number, NvmeController>();
  private readonly paths = new Map<number, ReactorPath>();

  constructor(reactor: Reactor) {
    this.reactor = reactor;
  }

  async attach({ controller: id, target }: AttachParams): Promise<AttachedController> {
    const controller = await NvmeController.connect(NvmePollGroup.of(this.reactor), target);
    this.controllers.set(id, controller);
    void this.watch(id, controller);
    const { cntlid, transfer_bytes, version, identify } = controller;
    const { vid, sn, mn, fr, subnqn, oacs, oncs, vwc, cmic } = identify;
    const namespaces = [...controller.namespaces.values()];
    return { cntlid, transfer_bytes, version, vid, sn, mn, fr, subnqn, oacs, oncs, vwc, cmic, namespaces };
  }

  private async watch(id: number, controller: NvmeController): Promise<void> {
    for await (const event of controller.events) {
      if (event.type === 'async-event') continue;
      this.reactor.control.notify('bdev_nvme', 'event', this.message(id, controller, event));
    }
  }

  private message(
    controller: number,
    { namespaces, cntlid }: NvmeController,
    event: Exclude<ControllerEvent, { type: 'async-event' }>,
  ): EventMessage {
    const nsid = 'nsid' in event ? event.nsid : 0;
    const message = 'error' in event ? event.error.message : '';
    return { controller, type: event.type, nsid, namespace: namespaces.get(nsid) ?? null, message, cntlid };
  }

  controller(id: number): NvmeController {
    const found = this.controllers.get(id);
    if (found === undefined) throw new NvmeError('ECLOSED', `controller ${id} has been detached`);
    return found;
  }

  async detach(id: number): Promise<void> {
    const controller = this.controllers.get(id);
    this.controllers.delete(id);
    await controller?.close();
  }

  path(context: NvmeContext): ReactorPath {
    let path = this.paths.get(context.controller);
    if (path === undefined) {
      path = new ReactorPath(this.reactor, context, log);
      this.paths.set(context.controller, path);
    }
    path.get();
    return path;
  }

  putPath(path: ReactorPath): void {
    if (path.put()) this.paths.delete(path.controller);
  }

  found({ controller }: { controller: number }): ReactorPath | undefined {
    return this.paths.get(controller);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.controllers.keys()].map((id) => this.detach(id)));
    await NvmePollGroup.find(this.reactor)?.destroy();
  }
}

const halves = new WeakMap<Reactor, NvmeReactor>();

const module: BdevReactorModule = {
  name: 'nvme',
  instantiate(description: BdevDescription, reactor: Reactor): BdevInstance {
    const half = halves.get(reactor)!;
    return {
      createChannel() {
        const path = half.path(description.context as NvmeContext);
        return new NvmeChannel(description, reactor, path, () => half.putPath(path));
      },
    };
  },
};

type DhchapKeys = Pick<KeyOptions, 'dhchap_key' | 'dhchap_ctrlr_key'>;

interface Which {
  readonly controller: number;
}

const plugin: ReactorPlugin = {
  name: 'bdev_nvme',
  start(reactor): ReactorService {
    const half = new NvmeReactor(reactor);
    const discovery = new DiscoveryReactor(reactor);
    halves.set(reactor, half);
    registerReactorModule(reactor, module);
    return {
      attach: (params: AttachParams) => half.attach(params),
      detach: ({ controller }: Which) => half.detach(controller),
      reset: ({ controller }: Which) => half.controller(controller).reset(),
      fail: ({ controller, message }: Which & { message: string }) =>
        half.controller(controller).fail(new NvmeError('ECONNECT', message)),
      setKeys: ({ controller, keys }: Which & { keys: DhchapKeys }) =>
        half.controller(controller).setKeys(keys),
      authenticate: (which: Which & { params: AuthParams }) => half.found(which)?.authenticate(which.params),
      queue: ({ controller }: Which) => half.controller(controller).ioQueueParams(),
      releaseQueue: ({ controller, params }: Which & { params: IoQueueParams }) =>
        half.controller(controller).releaseIoQueue(params),
      abort: ({ controller, qid, cid }: Which & { qid: number; cid: number }) =>
        half.controller(controller).abort(qid, cid),
      command: ({ controller, fields, data }: Which & { fields: CommandFields; data: CommandData }) =>
        half.controller(controller).admin.succeed(fields, data),
      lost: (which: PathMessage) => half.found(which)?.lost(),
      connected: (which: PathMessage) => half.found(which)?.connected(which.cntlid),
      failed: (which: PathMessage) => half.found(which)?.failed(),
      startDiscovery: (params: StartDiscovery) => discovery.start(params),
      stopDiscovery: ({ service }: { service: number }) => discovery.stop(service),
      stop: async () => {
        await discovery.stopAll();
        await half.stop();
      },
    };
  },
};
export default plugin;
