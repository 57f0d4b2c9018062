/** A bench over PCI functions behind vfio-user sockets: each takes one host at a time. */
import { cns, fid, HOST_ID_EXHID, identifyController, statusCode } from '@spdk-ts/nvme-spec';
import type { QueueOptions } from '../host/index.ts';
import { PciDriver } from '../vfio-user-host/pci-driver.ts';
import type { PciQueue } from '../vfio-user-host/pci-queue.ts';
import { setFeature } from './admin.ts';
import { Bench, type HostWay, type Pair, type PciAddress } from './bench.ts';
import { generic } from './codes.ts';
import { capabilities, ccFor, type Facts, findFacts } from './facts.ts';

/** Endpoints that have no host at the moment; what was used last comes last. */
class Endpoints {
  readonly count: number;
  private readonly free: string[];

  constructor(paths: readonly string[]) {
    this.count = paths.length;
    this.free = [...paths];
  }

  get none(): boolean {
    return this.free.length === 0;
  }
  take(): string {
    const path = this.free.shift();
    if (path === undefined)
      throw new Error(`each of the ${this.count} endpoints has a host: name more of them for this check`);
    return path;
  }
  give(path: string): void {
    this.free.push(path);
  }
}

export class PciBench extends Bench<PciDriver, PciQueue> {
  private readonly endpoints: Endpoints;

  static async start(address: PciAddress, seed: number): Promise<PciBench> {
    const endpoints = new Endpoints(address.endpoints);
    const path = endpoints.take();
    const host = await PciDriver.attach(path, () => endpoints.give(path));
    try {
      const cc = ccFor(await capabilities(host));
      await host.enable(cc);
      const facts = await findFacts(host, { transport: 'PCI', hosts: endpoints.count, icResp: null });
      return new PciBench(endpoints, facts, cc, seed);
    } finally {
      host.close();
    }
  }

  private constructor(endpoints: Endpoints, facts: Facts, cc: number, seed: number) {
    super(facts, cc, seed);
    this.endpoints = endpoints;
  }

  aside(): PciBench {
    return new PciBench(this.endpoints, this.facts, this.cc, this.seed);
  }

  async attach(_options: HostWay = {}): Promise<PciDriver> {
    if (this.endpoints.none) this.dropShared();
    const path = this.endpoints.take();
    return this.keep(await PciDriver.attach(path, () => this.endpoints.give(path)));
  }

  async connect(options: HostWay = {}): Promise<PciDriver> {
    const host = await this.attach(options);
    await host.enable(this.cc);
    host.admin.cntlid = identifyController.decode(await host.identify(cns.controller)).cntlid;
    if (options.hostid === undefined) return host;
    const done = await setFeature(host.admin, fid.hostIdentifier, { cdw11: HOST_ID_EXHID }, options.hostid);
    // Each function has a host of its own that cannot be changed: another one, which is what counts.
    if (statusCode(done.status) === generic.commandSequenceError) return host;
    if (done.status !== 0) throw new Error(`Host Identifier: status ${done.status.toString(16)}h`);
    return host;
  }

  async pair(options: HostWay = {}, ofQueue: Partial<QueueOptions> = {}): Promise<Pair<PciDriver, PciQueue>> {
    const host = await this.connect(options);
    await host.setQueueCount(1);
    const [queue] = await host.openQueues(1, ofQueue);
    return { host, queue: queue! };
  }
}
