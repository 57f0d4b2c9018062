/** The host's side of a run: hosts for checks, all of them closed behind each, and a witness beside them. */
import {
  type CommandHost,
  type CommandQueue,
  type HostOptions,
  pattern,
  type QueueOptions,
  read,
  write,
} from '../host/index.ts';
import type { Facts } from './facts.ts';

/** Where a target is, and as whom it is spoken to over TCP. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
  readonly subnqn: string;
  readonly hostnqn: string;
  /** A subsystem at the same address that does not allow our host. */
  readonly closedSubnqn?: string | undefined;
}

/** Sockets of PCI functions, all of them of one subsystem. Each takes one host at a time. */
export interface PciAddress {
  readonly endpoints: readonly string[];
}

export type Address = TcpAddress | PciAddress;

/** Blocks at the namespace's end that the witness uses: checks leave them alone. */
export const WITNESS_BLOCKS = 64;

export type HostWay = Partial<Omit<HostOptions, 'port' | 'host'>>;

/** A host with one I/O queue. */
export interface Pair<Host extends CommandHost = CommandHost, Queue extends CommandQueue = CommandQueue> {
  readonly host: Host;
  readonly queue: Queue;
}

export abstract class Bench<
  Host extends CommandHost = CommandHost,
  Queue extends CommandQueue = CommandQueue,
> {
  /** Said by the target before the first check. */
  readonly facts: Facts;
  /** CC that enables every command set of the controller. */
  readonly cc: number;
  readonly seed: number;
  protected readonly open: { close(): void }[] = [];
  private shared: Pair<Host, Queue> | null = null;
  private witness: Pair<Host, Queue> | null = null;
  private generation = 0;

  constructor(facts: Facts, cc: number, seed: number) {
    this.facts = facts;
    this.cc = cc;
    this.seed = seed;
  }

  /** Another of the same target, for what runs beside this one. */
  abstract aside(): Bench<Host, Queue>;
  /** A host whose controller is not enabled. */
  abstract attach(options?: HostWay): Promise<Host>;
  /** A host of its own, enabled. */
  abstract connect(options?: HostWay): Promise<Host>;
  /** A host of its own with an I/O queue. */
  abstract pair(options?: HostWay, ofQueue?: Partial<QueueOptions>): Promise<Pair<Host, Queue>>;

  protected keep<T extends { close(): void }>(one: T): T {
    this.open.push(one);
    return one;
  }

  /** A host with an I/O queue that checks share which leave it as it was. Made anew when it is gone. */
  async both(): Promise<Pair<Host, Queue>> {
    if (this.shared !== null && !this.shared.host.admin.ended && !this.shared.queue.ended) return this.shared;
    this.dropShared();
    this.shared = await this.untracked();
    return this.shared;
  }

  async admin(): Promise<Host['admin']> {
    return (await this.both()).host.admin;
  }
  async io(): Promise<Queue> {
    return (await this.both()).queue;
  }

  private async untracked(): Promise<Pair<Host, Queue>> {
    const pair = await this.pair();
    this.open.splice(this.open.indexOf(pair.host), 1);
    return pair;
  }

  protected dropShared(): void {
    this.shared?.host.close();
    this.shared = null;
  }

  /** Closes what a check has opened. What is shared stays, unless `all`. */
  settle(all: boolean): void {
    for (const one of this.open.splice(0)) one.close();
    if (all) this.dropShared();
  }

  /**
   * A connection that no check knows of writes, and reads what it wrote: empty if it does, else what was wrong. One
   * that is gone is told once, and replaced.
   */
  async disturbed(): Promise<string> {
    const { nsid, block_size, blocks } = this.facts.ns;
    // There is no room for another host.
    if (this.facts.hosts < 2) return '';
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
