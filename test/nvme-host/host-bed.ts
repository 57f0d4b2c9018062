/** The NVMe host library on reactors of the test's own thread. */
import { allocateSharedMemory, attachSharedMemory, releaseSharedMemory, systemClock } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import {
  NvmeController,
  type NvmeOptions,
  NvmePollGroup,
  type NvmeQpair,
  NvmeRequest,
  parseTransportId,
  resolveTarget,
} from '@spdk-ts/nvme';
import { dataTransfer, nvmOpcode } from '@spdk-ts/nvme-spec';
import { LocalHost, type Reactor, Uring } from '@spdk-ts/reactor';

export const BLOCK_BYTES = 512;
const MEMORY_BYTES = 64 * 1024 * 1024;

/** The implementations of sockets that there are here. */
export const implementations: readonly ('uring' | 'posix')[] = (() => {
  if (native === null) return ['posix'];
  try {
    new Uring(native, () => {}, null, { entries: 8, cq_entries: 16 });
    return ['uring', 'posix'];
  } catch {
    return ['posix'];
  }
})();

export class HostBed {
  readonly host: LocalHost;
  readonly reactor: Reactor;
  readonly group: NvmePollGroup;
  /** Memory for data, and its region. */
  readonly memory: Uint8Array;
  readonly region: number;
  private running = true;
  private used = 0;

  /** `shareable`: its memory has a descriptor, for controllers over vfio-user. */
  static async start(
    implementation: 'uring' | 'posix' = implementations[0]!,
    shareable = false,
  ): Promise<HostBed> {
    const host = await LocalHost.start({
      clock: systemClock(),
      plugins: [],
      uring: implementation === 'uring',
      shareableBuffers: shareable,
    });
    return new HostBed(host, shareable);
  }

  private constructor(host: LocalHost, shareable: boolean) {
    this.host = host;
    const memory = allocateSharedMemory(MEMORY_BYTES, shareable);
    this.memory = attachSharedMemory(memory);
    releaseSharedMemory(memory);
    this.reactor = host.local[0]!;
    this.group = NvmePollGroup.of(this.reactor);
    this.region = this.reactor.regions.addLocal(this.memory).id;
    const turn = (): void => {
      for (let i = 0; i < 8; i++) host.poll();
      if (this.running) setImmediate(turn);
    };
    turn();
  }

  connect(port: number, subnqn: string, options: Partial<NvmeOptions> = {}): Promise<NvmeController> {
    return this.connectTo(
      `trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:${port} subnqn:${subnqn}`,
      options,
    );
  }

  async connectTo(text: string, options: Partial<NvmeOptions> = {}): Promise<NvmeController> {
    return await NvmeController.connect(this.group, await resolveTarget(parseTransportId(text), options));
  }

  /** Gives all places of the memory back. */
  reuse(): void {
    this.used = 0;
  }

  /** Memory for data, given back by {@link reuse} only. */
  place(length: number): number {
    const offset = this.used;
    this.used += Math.ceil(length / 64) * 64;
    if (this.used > MEMORY_BYTES) throw new Error('the bed has no more memory');
    return offset;
  }

  /** Reads or writes blocks at a place of the memory: resolves to the status. */
  io(qpair: NvmeQpair, opcode: number, lba: number, offset: number, length: number): Promise<number> {
    const request = new NvmeRequest();
    request.begin(opcode, 1);
    request.range(lba, length / BLOCK_BYTES);
    const writes = opcode === nvmOpcode.write;
    request.place(
      writes ? dataTransfer.hostToController : dataTransfer.controllerToHost,
      this.region,
      offset,
      length,
    );
    return new Promise((resolve, reject) => {
      request.owner = { nvmeDone: () => resolve(request.status) };
      const refused = qpair.submit(request);
      if (refused !== 0) reject(qpair.error ?? new Error(`submit returned ${refused}`));
    });
  }

  write(qpair: NvmeQpair, lba: number, offset: number, length: number): Promise<number> {
    return this.io(qpair, nvmOpcode.write, lba, offset, length);
  }
  read(qpair: NvmeQpair, lba: number, offset: number, length: number): Promise<number> {
    return this.io(qpair, nvmOpcode.read, lba, offset, length);
  }

  async stop(): Promise<void> {
    await this.group.destroy();
    await this.host.stop();
    this.running = false;
  }
}
