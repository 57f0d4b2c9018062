/** A target with one subsystem of namespaces of any command set, and a host that has enabled all of them. */
import { ccCss } from '@spdk-ts/nvme-spec';
import { expect } from 'vitest';
import { type HostOptions, RawHost, type RawQueue } from '../host/index.ts';
import { freePort, Target } from '../linux-guest/target.ts';

/** Of statuses: do not retry. */
export const DNR = 0x4000;
const NQN = 'nqn.2026-11.io.spdk-ts:sets';

/** The dwords of a starting LBA. */
export const at = (lba: number) => ({ cdw10: lba >>> 0, cdw11: Math.floor(lba / 2 ** 32) });

export class CommandSetTarget {
  readonly target: Target;
  readonly port: number;
  readonly host: RawHost;
  readonly queue: RawQueue;
  /** NSID of each bdev. */
  readonly nsids: Readonly<Record<string, number>>;

  private constructor(target: Target, port: number, host: RawHost, nsids: Record<string, number>) {
    this.target = target;
    this.port = port;
    this.host = host;
    [this.queue] = host.queues as [RawQueue];
    this.nsids = nsids;
  }

  /** `create` makes the bdevs, and says which are namespaces. */
  static async start(create: (target: Target) => Promise<string[]>): Promise<CommandSetTarget> {
    const target = await Target.start();
    const port = await freePort();
    await target.createTransport();
    const names = await create(target);
    await target.export(NQN, names, port);
    const nsids = Object.fromEntries(names.map((name, i) => [name, i + 1]));
    const host = await RawHost.connect({ port, subnqn: NQN, css: ccCss.allIoCommandSets });
    await host.setQueueCount(1);
    await host.openQueues(1);
    return new CommandSetTarget(target, port, host, nsids);
  }

  /** Another controller of the same host, which knows of plain blocks only; and its queue. */
  plainHost(): Promise<{ host: RawHost; queue: RawQueue }> {
    return this.connect({});
  }

  /** Another host that has enabled all command sets. */
  otherHost(): Promise<{ host: RawHost; queue: RawQueue }> {
    const hostid = new Uint8Array(16).fill(0x77);
    return this.connect({ css: ccCss.allIoCommandSets, hostnqn: `${NQN}:other`, hostid });
  }

  private async connect(who: Partial<HostOptions>): Promise<{ host: RawHost; queue: RawQueue }> {
    const host = await RawHost.connect({ port: this.port, subnqn: NQN, ...who });
    await host.setQueueCount(1);
    const [queue] = (await host.openQueues(1)) as [RawQueue];
    return { host, queue };
  }

  async stop(): Promise<void> {
    this.host.close();
    expect(await this.target.stop()).toBe(0);
    await this.target.dispose();
  }
}

export async function createMallocs(target: Target, mallocs: readonly { name: string }[]): Promise<void> {
  for (const malloc of mallocs)
    await target.rpc('bdev_malloc_create', { block_size: 512, num_blocks: 8192, ...malloc });
}
