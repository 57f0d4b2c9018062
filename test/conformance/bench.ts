/** The host's side of a run: connections for checks, all of them closed behind each, and a witness beside them. */
import {
  CC_ENABLED,
  type HostOptions,
  PduStream,
  pattern,
  type QueueOptions,
  RawHost,
  RawQueue,
  read,
  write,
} from '../host/index.ts';
import { capabilities, ccFor, type Facts, findFacts } from './facts.ts';

/** Where a target is, and as whom it is spoken to. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly subnqn: string;
  readonly hostnqn: string;
  /** A subsystem at the same address that does not allow our host. */
  readonly closedSubnqn?: string | undefined;
}

/** Blocks at the namespace's end that the witness uses: checks leave them alone. */
export const WITNESS_BLOCKS = 64;

export type HostWay = Partial<Omit<HostOptions, 'port' | 'host'>>;

/** A host with one I/O queue. */
export interface Pair {
  readonly host: RawHost;
  readonly queue: RawQueue;
}

export class Bench {
  readonly address: Address;
  /** Said by the target before the first check. */
  readonly facts: Facts;
  /** CC that enables every command set of the controller. */
  readonly cc: number;
  readonly seed: number;
  private readonly open: { close(): void }[] = [];
  private shared: Pair | null = null;
  private witness: Pair | null = null;
  private generation = 0;

  static async start(address: Address, seed: number): Promise<Bench> {
    const host = await RawHost.attach(address);
    try {
      const cc = ccFor(await capabilities(host));
      await host.enable(cc);
      const facts = await findFacts(host, address.closedSubnqn);
      return new Bench(address, facts, cc, seed);
    } finally {
      host.close();
    }
  }

  private constructor(address: Address, facts: Facts, cc: number, seed: number) {
    this.address = address;
    this.facts = facts;
    this.cc = cc;
    this.seed = seed;
  }

  /**
   * Bytes of a write whose data are asked for. More than fit into a capsule: of a smaller one, some targets will have
   * its data in the capsule, whatever its descriptor says.
   */
  get r2t_bytes(): number {
    return Math.max(16_384, (Math.floor(this.facts.capsule_bytes / 4096) + 2) * 4096);
  }

  /** Another of the same target, for what runs beside this one. */
  aside(): Bench {
    return new Bench(this.address, this.facts, this.cc, this.seed);
  }

  private keep<T extends { close(): void }>(one: T): T {
    this.open.push(one);
    return one;
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

  /** A host whose controller is not enabled. */
  async attach(options: HostWay = {}): Promise<RawHost> {
    return this.keep(await RawHost.attach({ ...this.address, ...options }));
  }

  /** A host of its own, enabled. */
  async connect(options: HostWay = {}): Promise<RawHost> {
    const host = await this.attach(options);
    await host.enable(options.subnqn === undefined ? this.cc : CC_ENABLED);
    return host;
  }

  /** A host of its own with an I/O queue. */
  async pair(options: HostWay = {}, ofQueue: Partial<QueueOptions> = {}): Promise<Pair> {
    const host = await this.connect(options);
    await host.setQueueCount(1);
    const [queue] = await host.openQueues(1, ofQueue);
    queue!.inCapsuleMax = this.facts.capsule_bytes;
    return { host, queue: queue! };
  }

  /** A host with an I/O queue that checks share which leave it as it was. Made anew when it is gone. */
  async both(): Promise<Pair> {
    if (this.shared !== null && !this.shared.host.admin.stream.ended && !this.shared.queue.stream.ended)
      return this.shared;
    this.shared?.host.close();
    this.shared = null;
    this.shared = await this.untracked();
    return this.shared;
  }

  async admin(): Promise<RawQueue> {
    return (await this.both()).host.admin;
  }
  async io(): Promise<RawQueue> {
    return (await this.both()).queue;
  }

  private async untracked(): Promise<Pair> {
    const pair = await this.pair();
    this.open.splice(this.open.indexOf(pair.host), 1);
    return pair;
  }

  /** Closes what a check has opened. What is shared stays, unless `all`. */
  settle(all: boolean): void {
    for (const one of this.open.splice(0)) one.close();
    if (!all) return;
    this.shared?.host.close();
    this.shared = null;
  }

  /**
   * A connection that no check knows of writes, and reads what it wrote: empty if it does, else what was wrong. One
   * that is gone is told once, and replaced.
   */
  async disturbed(): Promise<string> {
    const { nsid, block_size, blocks } = this.facts.ns;
    try {
      this.witness ??= await this.untracked();
      const { queue } = this.witness;
      const data = pattern(block_size, ++this.generation ^ this.seed);
      const lba = blocks - WITNESS_BLOCKS + (this.generation % WITNESS_BLOCKS);
      const written = await write(queue, lba, data, { nsid, block_size });
      const back = await read(queue, lba, block_size, { nsid, block_size });
      if (written.status !== 0 || back.status !== 0)
        return `another host's write and read end with status ${written.status} and ${back.status}`;
      if (!back.data.equals(data)) return 'another host reads what it did not write';
      return '';
    } catch (error) {
      this.replaceWitness();
      return `another host's connection: ${(error as Error).message}`;
    }
  }

  /** The next look is by a connection of its own. */
  replaceWitness(): void {
    this.witness?.host.close();
    this.witness = null;
  }

  close(): void {
    this.settle(true);
    this.replaceWitness();
  }
}
