/** A bench over NVMe/TCP: connections too, and queues that have not said Connect. */
import {
  CC_ENABLED,
  type HostOptions,
  PduStream,
  type QueueOptions,
  RawHost,
  RawQueue,
} from '../host/index.ts';
import { Bench, type HostWay, type Pair, type TcpAddress } from './bench.ts';
import { capabilities, ccFor, type Facts, findFacts } from './facts.ts';

export class TcpBench extends Bench<RawHost, RawQueue> {
  readonly address: TcpAddress;

  static async start(address: TcpAddress, seed: number): Promise<TcpBench> {
    const host = await RawHost.attach(address);
    try {
      const cc = ccFor(await capabilities(host));
      await host.enable(cc);
      const facts = await findFacts(host, {
        ...{ transport: 'TCP', hosts: Number.POSITIVE_INFINITY, icResp: host.admin.icResp },
        closedSubnqn: address.closedSubnqn,
      });
      return new TcpBench(address, facts, cc, seed);
    } finally {
      host.close();
    }
  }

  private constructor(address: TcpAddress, facts: Facts, cc: number, seed: number) {
    super(facts, cc, seed);
    this.address = address;
  }

  /**
   * Bytes of a write whose data are asked for. More than fit into a capsule: of a smaller one, some targets will have
   * its data in the capsule, whatever its descriptor says.
   */
  get r2t_bytes(): number {
    return Math.max(16_384, (Math.floor(this.facts.capsule_bytes / 4096) + 2) * 4096);
  }

  aside(): TcpBench {
    return new TcpBench(this.address, this.facts, this.cc, this.seed);
  }

  /** A TCP connection, and nothing more. */
  async stream(): Promise<PduStream> {
    const stream = await PduStream.open(this.address.port, this.address.host);
    this.open.push({ close: () => stream.destroy() });
    return stream;
  }

  /** A queue past ICResp, before Connect. */
  async queue(options: Partial<QueueOptions> = {}): Promise<RawQueue> {
    const { host, port } = this.address;
    return this.keep(await RawQueue.open({ host, port, ...options }));
  }

  async attach(options: HostWay = {}): Promise<RawHost> {
    const of: HostOptions = { ...this.address, ...options };
    return this.keep(await RawHost.attach(of));
  }

  async connect(options: HostWay = {}): Promise<RawHost> {
    const host = await this.attach(options);
    await host.enable(options.subnqn === undefined ? this.cc : CC_ENABLED);
    return host;
  }

  async pair(options: HostWay = {}, ofQueue: Partial<QueueOptions> = {}): Promise<Pair<RawHost, RawQueue>> {
    const host = await this.connect(options);
    await host.setQueueCount(1);
    const [queue] = await host.openQueues(1, ofQueue);
    queue!.inCapsuleMax = this.facts.capsule_bytes;
    return { host, queue: queue! };
  }
}
