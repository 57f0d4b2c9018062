import {
  formatTransportId,
  type IoQueueParams,
  NvmeController,
  NvmePollGroup,
  type NvmeTarget,
  readDiscoveryLog,
  recordTransportId,
  splitDiscoveryLog,
} from '@spdk-ts/nvme';
import type { Reactor, ReactorPlugin, ReactorService } from '@spdk-ts/reactor';
import { Lane, type LaneEvents } from './lane.ts';
import type { Attached, LaneResult, PrepareParams, StartParams } from './protocol.ts';

/** Controllers, of the first reactor, and the lanes of each. */
class PerfReactor implements LaneEvents {
  private readonly reactor: Reactor;
  private readonly controllers: NvmeController[] = [];
  private lanes: Lane[] = [];
  private running = 0;
  private resolve: (results: LaneResult[]) => void = () => {};

  constructor(reactor: Reactor) {
    this.reactor = reactor;
  }

  /** Connects a controller. Of a discovery controller it tells what subsystems it names, and leaves it. */
  async attach(target: NvmeTarget): Promise<Attached> {
    const group = NvmePollGroup.of(this.reactor);
    const controller = await NvmeController.connect(group, target).catch((error: Error) => {
      throw new Error(`${formatTransportId(target.trid)}: ${error.message}`);
    });
    const { trtype, traddr, subnqn } = target.trid;
    const attached = {
      controller: this.controllers.length,
      name:
        trtype === 'TCP'
          ? `TCP (addr:${traddr} subnqn:${subnqn})`
          : `VFIOUSER (addr:${traddr} subnqn:${controller.identify.subnqn})`,
      namespaces: [...controller.namespaces.values()],
      found: [] as NvmeTarget[],
    };
    if (!controller.discovery) {
      this.controllers.push(controller);
      return attached;
    }
    try {
      const { subsystems, referrals } = splitDiscoveryLog(await readDiscoveryLog(controller.admin));
      for (const entry of [...subsystems, ...referrals]) {
        const trid = recordTransportId(entry);
        if (trid !== null)
          attached.found.push({ ...target, trid: { ...trid, hostaddr: target.trid.hostaddr } });
      }
    } finally {
      await controller.close();
    }
    return attached;
  }

  queue(controller: number): IoQueueParams {
    return this.controllers[controller]!.ioQueueParams();
  }

  /** Opens I/O queues that nobody uses. */
  async openUnused(count: number): Promise<void> {
    for (const controller of this.controllers) for (let i = 0; i < count; i++) await controller.openIoQueue();
  }

  /** Makes lanes and opens their queues. */
  async prepare({ lanes }: PrepareParams): Promise<void> {
    for (const spec of lanes) {
      const lane = new Lane(spec, this.reactor, this);
      this.lanes.push(lane);
      await lane.open();
    }
  }

  /** Runs the lanes. Resolves when the last one has ended. */
  start(params: StartParams): Promise<LaneResult[]> {
    if (this.lanes.length === 0) return Promise.resolve([]);
    this.running = this.lanes.length;
    const { thread } = NvmePollGroup.of(this.reactor);
    for (const lane of this.lanes) thread.send(() => lane.start(params));
    return new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  /** Ends the lanes early. */
  terminate(): void {
    const { thread } = NvmePollGroup.of(this.reactor);
    for (const lane of this.lanes) thread.send(() => lane.drain());
  }

  completed(): number {
    return this.lanes.reduce((total, lane) => total + lane.done, 0);
  }

  print(lines: readonly string[]): void {
    this.reactor.control.notify('nvme_perf', 'print', lines);
  }

  ended(): void {
    if (--this.running === 0) this.resolve(this.lanes.map((lane) => lane.result()));
  }

  async stop(): Promise<void> {
    for (const lane of this.lanes.splice(0)) lane.close();
    await Promise.all(this.controllers.map((controller) => controller.close()));
    await NvmePollGroup.find(this.reactor)?.destroy();
  }
}

/** nvme-perf on each reactor. */
const plugin: ReactorPlugin = {
  name: 'nvme_perf',
  start(reactor: Reactor): ReactorService {
    const perf = new PerfReactor(reactor);
    return {
      attach: (target: NvmeTarget) => perf.attach(target),
      queue: (controller: number) => perf.queue(controller),
      openUnused: (count: number) => perf.openUnused(count),
      prepare: (params: PrepareParams) => perf.prepare(params),
      start: (params: StartParams) => perf.start(params),
      terminate: () => perf.terminate(),
      completed: () => perf.completed(),
      stop: () => perf.stop(),
    };
  },
};
export default plugin;
