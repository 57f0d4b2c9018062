/** A target with one subsystem over a malloc bdev, and what tests of its TCP transport ask about it. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { type HostOptions, pattern, RawHost, read, write } from '../host/index.ts';
import { freePort, Target, type TargetOptions } from '../linux-guest/target.ts';

export const NQN = 'nqn.2026-11.io.spdk-ts:tcp';
export const DISK_BYTES = 64 * 1024 * 1024;
/** The blocks that {@link TcpTarget.expectService} uses: the last MiB. Other tests leave them alone. */
export const SERVICE_LBA = (DISK_BYTES - 1024 * 1024) / 512;

export class TcpTarget {
  readonly target: Target;
  readonly port: number;
  private seed = 1;

  /** `transport`: options of nvmf_create_transport; `config`: what is loaded before. */
  static async start(
    transport: Record<string, unknown> = {},
    config?: unknown,
    options: TargetOptions = {},
  ): Promise<TcpTarget> {
    const target = await Target.start(config === undefined ? options : { ...options, config });
    const port = await freePort();
    await target.createMalloc('Malloc0', DISK_BYTES);
    await target.rpc('nvmf_create_transport', { trtype: 'TCP', ...transport });
    await target.export(NQN, ['Malloc0'], port);
    return new TcpTarget(target, port);
  }

  private constructor(target: Target, port: number) {
    this.target = target;
    this.port = port;
  }

  /** A connected host with `queues` I/O queues. */
  async host(queues = 1, options: Omit<HostOptions, 'port' | 'host' | 'subnqn'> = {}) {
    const host = await RawHost.connect({ port: this.port, subnqn: NQN, ...options });
    try {
      await host.setQueueCount(Math.max(1, queues));
      await host.openQueues(queues);
    } catch (error) {
      host.close();
      throw error;
    }
    return host;
  }

  /** A new host connects, and reads what it writes. */
  async expectService(): Promise<void> {
    if (!this.target.running) throw new Error(`the target is gone:\n${this.target.output}`);
    const host = await this.host();
    const [queue] = host.queues;
    const data = pattern(16 * 1024, ++this.seed);
    expect((await write(queue!, SERVICE_LBA, data)).status).toBe(0);
    const back = await read(queue!, SERVICE_LBA, data.length);
    expect(back.status).toBe(0);
    expect(Buffer.compare(back.data, data)).toBe(0);
    host.close();
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.target.pid}/fd`).length;
  }

  /** Resident memory, bytes. */
  get resident(): number {
    return (
      Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.target.pid}/status`, 'utf8'))![1]) * 1024
    );
  }

  async stop(): Promise<void> {
    try {
      expect(await this.target.stop(), this.target.output).toBe(0);
    } finally {
      await this.target.dispose();
    }
  }
}
