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
  type CommandFault,
  type CommandFields,
  type ControllerEvent,
  type IoQueueParams,
  NvmeController,
  NvmeError,
  NvmePollGroup,
  type NvmeTarget,
} from '@spdk-ts/nvme';
import type { Reactor, ReactorPlugin, ReactorService } from '@spdk-ts/reactor';
import { BdevPaths } from './bdev-paths.ts';
import { NvmeChannel } from './channel.ts';
import { injectAdmin, injectIo, sendCommand, transportStatistics } from './commands-reactor.ts';
import type {
  AttachedController,
  AttachParams,
  BdevPathsMessage,
  ControllerMessage,
  ControllerState,
  EventMessage,
  NvmeContext,
} from './context.ts';
import { DiscoveryReactor, type StartDiscovery } from './discovery-reactor.ts';
import type { DhchapKeys } from './keys-control.ts';
import { ReactorPath } from './path.ts';

const log = new Logger('bdev_nvme');
/** CRDT1 to CRDT3 count these. */
const RETRY_DELAY_UNIT_MS = 100;

const stateOf = ({ cntlid, target, namespaces, ana }: NvmeController): ControllerState => ({
  ...{ cntlid, target, ana },
  namespaces: [...namespaces.values()],
});

/** Controllers that live on one reactor, and its paths to all of them. */
class NvmeReactor {
  private readonly reactor: Reactor;
  private readonly controllers = new Map<number, NvmeController>();
  private readonly paths = new Map<number, ReactorPath>();
  private readonly bdevs = new Map<number, BdevPaths>();

  constructor(reactor: Reactor) {
    this.reactor = reactor;
  }

  // --- controllers that live here ---

  async attach({ controller: id, target, alternates }: AttachParams): Promise<AttachedController> {
    const controller = await NvmeController.connect(NvmePollGroup.of(this.reactor), target);
    controller.alternates = [...alternates];
    controller.onNotConnected = () =>
      this.reactor.control.notify('bdev_nvme', 'notConnected', { controller: id });
    this.controllers.set(id, controller);
    void this.watch(id, controller);
    const { transfer_bytes, version, identify } = controller;
    const { vid, sn, mn, fr, subnqn, oacs, oncs, fuses, acwu, vwc, cmic, anatt, crdt1, crdt2, crdt3 } =
      identify;
    return {
      ...stateOf(controller),
      ...{ transfer_bytes, version, vid, sn, mn, fr, subnqn, oacs, oncs, fuses, acwu, vwc, cmic, anatt },
      retry_delays_ms: [0, crdt1, crdt2, crdt3].map((delay) => delay * RETRY_DELAY_UNIT_MS),
    };
  }

  private async watch(id: number, controller: NvmeController): Promise<void> {
    for await (const event of controller.events) {
      if (event.type === 'async-event') continue;
      this.reactor.control.notify('bdev_nvme', 'event', message(id, controller, event));
    }
  }

  controller(id: number): NvmeController {
    const found = this.controllers.get(id);
    if (found === undefined) throw new NvmeError('ECLOSED', `controller ${id} has been detached`);
    return found;
  }

  /** Reads the ANA log, and tells of it as of any other change. */
  async readAna(id: number): Promise<void> {
    await this.controller(id).anaChanged();
  }

  async detach(id: number): Promise<void> {
    const controller = this.controllers.get(id);
    this.controllers.delete(id);
    await controller?.close();
  }

  // --- paths to all controllers ---

  /** A controller is there, or is in another state. */
  take(told: ControllerMessage): void {
    const path = this.paths.get(told.controller);
    if (path === undefined) this.paths.set(told.controller, new ReactorPath(this.reactor, told, log));
    else path.take(told);
  }

  async drain(controller: number, timeout_ms: number): Promise<boolean> {
    return (await this.paths.get(controller)?.drain(timeout_ms)) ?? true;
  }

  async authenticate(controller: number, params: AuthParams): Promise<void> {
    await this.paths.get(controller)?.authenticate(params);
  }

  injectIo(controller: number, fault: CommandFault): void {
    const path = this.paths.get(controller);
    if (path !== undefined) injectIo(path, fault);
  }
  removeIo(controller: number, opcode: number): void {
    this.paths.get(controller)?.faults?.remove(opcode);
  }

  forget(controller: number): void {
    this.paths.delete(controller);
  }

  setPaths(message: BdevPathsMessage): void {
    const known = this.bdevs.get(message.bdev);
    if (known !== undefined) known.take(message);
    else this.bdevs.set(message.bdev, new BdevPaths(message, (controller) => this.paths.get(controller)!));
  }

  forgetBdev(bdev: number): void {
    this.bdevs.delete(bdev);
  }

  bdev({ bdev }: NvmeContext): BdevPaths {
    return this.bdevs.get(bdev)!;
  }

  describePaths() {
    return [...this.bdevs.values()].flatMap((paths) => paths.describe());
  }

  stats(bdev: number) {
    return this.bdevs.get(bdev)?.stats() ?? [];
  }

  async stop(): Promise<void> {
    await Promise.all([...this.controllers.keys()].map((id) => this.detach(id)));
    await NvmePollGroup.find(this.reactor)?.destroy();
  }
}

function message(
  id: number,
  controller: NvmeController,
  event: Exclude<ControllerEvent, { type: 'async-event' }>,
): EventMessage {
  const nsid = 'nsid' in event ? event.nsid : 0;
  const text = 'error' in event ? event.error.message : '';
  return { ...stateOf(controller), controller: id, type: event.type, nsid, message: text };
}

const halves = new WeakMap<Reactor, NvmeReactor>();

const module: BdevReactorModule = {
  name: 'nvme',
  instantiate(description: BdevDescription, reactor: Reactor): BdevInstance {
    const paths = halves.get(reactor)!.bdev(description.context as NvmeContext);
    return {
      createChannel(thread) {
        const channel = new NvmeChannel(description, thread, (sender) => paths.remove(sender));
        paths.add(channel.sender, thread.name);
        return channel;
      },
    };
  },
};

interface Sending {
  readonly io: boolean;
  readonly fields: CommandFields;
  readonly data: CommandData;
}

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
      setAlternates: ({ controller, alternates }: Which & { alternates: readonly NvmeTarget[] }) => {
        half.controller(controller).alternates = [...alternates];
      },
      moveTo: ({ controller, targets }: Which & { targets: readonly NvmeTarget[] }) =>
        half.controller(controller).moveTo(targets),
      reset: ({ controller }: Which) => half.controller(controller).reset(),
      fail: ({ controller, message }: Which & { message: string }) =>
        half.controller(controller).fail(new NvmeError('ECONNECT', message)),
      setKeys: ({ controller, keys }: Which & { keys: DhchapKeys }) =>
        half.controller(controller).setKeys(keys),
      authenticate: ({ controller, params }: Which & { params: AuthParams }) =>
        half.authenticate(controller, params),
      readAna: ({ controller }: Which) => half.readAna(controller),
      queue: ({ controller, again }: Which & { again: number }) =>
        half.controller(controller).ioQueueParams(again),
      releaseQueue: ({ controller, params }: Which & { params: IoQueueParams }) =>
        half.controller(controller).releaseIoQueue(params),
      abort: ({ controller, qid, cid }: Which & { qid: number; cid: number }) =>
        half.controller(controller).abort(qid, cid),
      command: ({ controller, fields, data }: Which & { fields: CommandFields; data: CommandData }) =>
        half.controller(controller).admin.succeed(fields, data),
      controller: (told: ControllerMessage) => half.take(told),
      drain: ({ controller, timeout_ms }: Which & { timeout_ms: number }) =>
        half.drain(controller, timeout_ms),
      forget: ({ controller }: Which) => half.forget(controller),
      paths: (message: BdevPathsMessage) => half.setPaths(message),
      forgetBdev: ({ bdev }: { bdev: number }) => half.forgetBdev(bdev),
      ioPaths: () => half.describePaths(),
      pathStats: ({ bdev }: { bdev: number }) => half.stats(bdev),
      send: ({ controller, io, fields, data }: Which & Sending) =>
        sendCommand(half.controller(controller), io, fields, data),
      injectAdmin: ({ controller, fault }: Which & { fault: CommandFault }) =>
        injectAdmin(half.controller(controller), fault),
      removeAdmin: ({ controller, opcode }: Which & { opcode: number }) =>
        half.controller(controller).admin.qpair.faults?.remove(opcode),
      injectIo: (which: Which & { fault: CommandFault }) => half.injectIo(which.controller, which.fault),
      removeIo: (which: Which & { opcode: number }) => half.removeIo(which.controller, which.opcode),
      transportStatistics: () => transportStatistics(reactor),
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
