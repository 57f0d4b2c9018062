import { BdevRegistry, type BdevSpec, bdevReactorEntry } from '@spdk-ts/bdev';
import { ManualClock, TICKS_PER_MS } from '@spdk-ts/env';
import type { Keyring } from '@spdk-ts/keyring';
import { setLogWriter } from '@spdk-ts/log';
import { encodeCc } from '@spdk-ts/nvme-spec';
import { LocalHost, type ReactorPlugin } from '@spdk-ts/reactor';
// The target loads these when they are needed; virtual time would not wait for it.
import '../src/authentication.ts';
import '../src/control/authentication-control.ts';
import '../src/control/host-keys-control.ts';
import { NvmfTarget } from '../src/control/target.ts';
import { getPollGroup, nvmfReactorPlugin } from '../src/plugin.ts';
import type { NvmfPollGroup } from '../src/poll-group.ts';
import type { TransportAddress } from '../src/qpair.ts';
import { type Completion, type FakeQpair, type FakeTransport, fakeTransportType } from './fake-transport.ts';
import { ALL_TYPES, memoryBdevPlugin, memoryModule, resetControl } from './memory-bdev.ts';

export const SUBSYSTEM = 'nqn.2016-06.io.spdk:cnode1';
export const ADDRESS: TransportAddress = {
  ...{ trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: '4420' },
};
export const UUID = '01234567-89ab-4def-8123-456789abcdef';
export const BLOCKS = 2048;
export const ENABLE = encodeCc({ en: true, iosqes: 6, iocqes: 4 });

/** For what takes time of the real world: a file that is written. */
const aMoment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** A controller as a host knows it. */
export interface TestController {
  readonly admin: FakeQpair;
  readonly cntlid: number;
}

/** A target with one subsystem over one memory bdev, on reactors that the test drives, in virtual time. */
export class Harness {
  readonly clock = new ManualClock();
  readonly log: string[] = [];
  host!: LocalHost;
  bdevs!: BdevRegistry;
  target!: NvmfTarget;
  groups: NvmfPollGroup[] = [];
  private restoreLog: (line: string) => void = () => {};

  static async start(reactors = 1, keyring?: Keyring): Promise<Harness> {
    const harness = new Harness();
    await harness.up(reactors, keyring);
    return harness;
  }

  private async up(count: number, keyring?: Keyring): Promise<void> {
    resetControl();
    this.restoreLog = setLogWriter((line) => this.log.push(line));
    const { default: bdevPlugin } = (await import(bdevReactorEntry)) as { default: ReactorPlugin };
    const plugins = [bdevPlugin, memoryBdevPlugin, nvmfReactorPlugin([fakeTransportType])];
    this.host = await LocalHost.start({ count, clock: this.clock, plugins });
    this.groups = this.host.local.map(getPollGroup);
    this.bdevs = new BdevRegistry(this.host, { bdev_io_pool_size: 4096, bdev_io_cache_size: 64 });
    this.bdevs.registerModule(memoryModule);
    const parts = { host: this.host, bdevs: this.bdevs, version: '1.2.3' };
    this.target = new NvmfTarget({ ...parts, ...(keyring !== undefined && { keyring }) });
    await this.bdev('Mem0', UUID);
    await this.done(this.target.createTransport({ trtype: 'tcp' }));
    await this.done(
      this.target.createSubsystem({ nqn: SUBSYSTEM, serial_number: 'S1', allow_any_host: true }),
    );
    await this.done(this.target.addListener(SUBSYSTEM, { listen_address: ADDRESS }));
    await this.done(this.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem0' }));
  }

  /** A memory bdev; its bytes. */
  async bdev(
    name: string,
    uuid?: string,
    num_blocks = BLOCKS,
    io_types = ALL_TYPES,
    more: Partial<BdevSpec> = {},
  ): Promise<Uint8Array> {
    const memory = new SharedArrayBuffer(num_blocks * 512);
    const context = { region: this.host.allocateRegionId(), memory };
    const spec = { name, product_name: 'Memory', block_size: 512, num_blocks, io_types, context };
    await this.done(this.bdevs.register('memory', { ...spec, uuid, reads_in_place: true, ...more }));
    return new Uint8Array(memory);
  }

  async stop(): Promise<void> {
    await this.joined(this.target.stop());
    await this.done(this.bdevs.stop());
    await this.done(this.host.stop());
    setLogWriter(this.restoreLog);
  }

  transport(reactor = 0): FakeTransport {
    return this.groups[reactor]!.transports.get('TCP')!.transport as FakeTransport;
  }

  /** Some iterations of every reactor, and of the event loop between them. */
  async turns(count = 20): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.host.poll();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Lets time pass in steps that no timer is shorter than. */
  async pass(ms: number, step_ms = Math.max(1, ms / 50)): Promise<void> {
    for (let left = ms; left > 0; left -= step_ms) {
      this.clock.advance(Math.min(step_ms, left) * TICKS_PER_MS);
      await this.turns(2);
    }
  }

  /** What a promise resolves to, while the reactors run. */
  async done<T>(promise: Promise<T>): Promise<T> {
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    promise.then(end, end);
    for (let i = 0; i < 2000 && !ended; i++) {
      this.clock.advance(TICKS_PER_MS / 100);
      await this.turns(1);
      if (i >= 1000) await aMoment();
    }
    if (!ended) throw new Error('it does not end');
    return await promise;
  }

  /** The same of what waits for a thread that is not one of the reactors'. */
  private async joined<T>(promise: Promise<T>): Promise<T> {
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    promise.then(end, end);
    const deadline = performance.now() + 60_000;
    while (!ended && performance.now() < deadline) {
      this.clock.advance(TICKS_PER_MS / 100);
      await this.turns(1);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return await this.done(promise);
  }

  /** The completion of a command, while the reactors run. */
  async completion(qpair: FakeQpair, cid: number): Promise<Completion> {
    for (let i = 0; i < 2000; i++) {
      const found = qpair.take(cid);
      if (found !== undefined) return found;
      this.clock.advance(TICKS_PER_MS / 100);
      await this.turns(1);
      if (i >= 200) await aMoment();
    }
    throw new Error(`command ${cid} does not complete`);
  }

  /** A connection to a reactor. */
  connection(reactor = 0, address = ADDRESS): FakeQpair {
    return this.transport(reactor).connection(address);
  }

  async command(
    qpair: FakeQpair,
    fields: Parameters<FakeQpair['send']>[0],
    options: Parameters<FakeQpair['send']>[1] = {},
  ): Promise<Completion> {
    return await this.completion(qpair, qpair.send(fields, options));
  }

  /** Connect of one queue on a new connection. */
  async connect(
    qid: number,
    options: Parameters<FakeQpair['connect']>[1] = {},
    reactor = 0,
    address = ADDRESS,
  ): Promise<{ qpair: FakeQpair; completion: Completion }> {
    const qpair = this.connection(reactor, address);
    const cid = qpair.connect(qid, { subnqn: SUBSYSTEM, ...options });
    return { qpair, completion: await this.completion(qpair, cid) };
  }

  async getProperty(qpair: FakeQpair, offset: number, size = 0): Promise<Completion> {
    return await this.command(qpair, { opcode: 0x7f, nsid: 4, cdw10: size, cdw11: offset });
  }
  async setCc(qpair: FakeQpair, value: number): Promise<number> {
    const { status } = await this.command(qpair, { opcode: 0x7f, nsid: 0, cdw11: 0x14, cdw12: value });
    return status;
  }
  async csts(qpair: FakeQpair): Promise<number> {
    return (await this.getProperty(qpair, 0x1c)).dw0;
  }

  /** A connected and enabled controller. */
  async controller(options: Parameters<FakeQpair['connect']>[1] = {}, reactor = 0): Promise<TestController> {
    const { qpair: admin, completion } = await this.connect(0, options, reactor);
    if (completion.status !== 0) throw new Error(`connect: ${completion.status.toString(16)}`);
    await this.setCc(admin, ENABLE);
    return { admin, cntlid: completion.dw0 & 0xffff };
  }

  /** An I/O queue of a controller. */
  async ioQueue({ cntlid }: TestController, qid = 1, reactor = 0): Promise<FakeQpair> {
    const { qpair, completion } = await this.connect(qid, { cntlid, entries: 128 }, reactor);
    if (completion.status !== 0) throw new Error(`connect: ${completion.status.toString(16)}`);
    return qpair;
  }

  async identify(qpair: FakeQpair, cns: number, nsid = 0, cdw11 = 0): Promise<Completion> {
    return await this.command(qpair, { opcode: 6, nsid, cdw10: cns, cdw11 }, { length: 4096 });
  }

  async logPage(
    qpair: FakeQpair,
    lid: number,
    length: number,
    { offset = 0, rae = false, nsid = 0 } = {},
  ): Promise<Completion> {
    const dwords = length / 4 - 1;
    const cdw10 = (lid | (rae ? 0x8000 : 0) | ((dwords & 0xffff) << 16)) >>> 0;
    return await this.command(
      qpair,
      { opcode: 2, nsid, cdw10, cdw11: dwords >>> 16, cdw12: offset },
      { length },
    );
  }
}
