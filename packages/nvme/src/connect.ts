import { systemClock } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { cns, identifyController, nvmOpcode } from '@spdk-ts/nvme-spec';
import { LocalHost, NodeLoop, type Reactor } from '@spdk-ts/reactor';
import {
  type CommandData,
  type CommandFields,
  type CommandSender,
  Commands,
  type Completion,
} from './commands.ts';
import { type ControllerEvent, NvmeController } from './controller.ts';
import { NvmeError } from './errors.ts';
import { identify, type NamespaceInfo } from './namespaces.ts';
import { resolveTarget } from './node-identity.ts';
import type { NvmeOptions } from './options.ts';
import { NvmePollGroup } from './poll-group.ts';
import { parseTransportId, type TransportId } from './transport-id.ts';

/** Words of a loop's shared state. */
const STATE_WORDS = 16;
/** Pieces of one read or write that are under way at once. */
const PIECES_MAX = 8;

/** A reactor on the caller's own thread, which sleeps while nothing happens, and lets the process end when it is closed. */
class OwnReactor {
  readonly reactor: Reactor;
  private readonly host: LocalHost;
  private readonly loop: NodeLoop;

  static async start(shareableBuffers: boolean): Promise<OwnReactor> {
    const clock = systemClock();
    if (native !== null)
      try {
        return new OwnReactor(await LocalHost.start({ clock, plugins: [], uring: true, shareableBuffers }));
      } catch {
        // No io_uring here: node:net does.
      }
    return new OwnReactor(await LocalHost.start({ clock, plugins: [], shareableBuffers }));
  }

  private constructor(host: LocalHost) {
    this.host = host;
    this.reactor = host.local[0]!;
    this.loop = new NodeLoop(
      this.reactor,
      'adaptive',
      new Int32Array(new SharedArrayBuffer(STATE_WORDS * 4)),
    );
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.host.stop();
    this.loop.stop();
    if (this.reactor.ring?.armed) this.reactor.ring.disarmSleep();
  }
}

/** A namespace of a connection: blocks are read and written with promises. */
export class Namespace {
  readonly info: NamespaceInfo;
  private readonly io: CommandSender;
  private readonly bytes_max: number;

  constructor(info: NamespaceInfo, io: CommandSender, bytes_max: number) {
    this.info = info;
    this.io = io;
    this.bytes_max = Math.floor(bytes_max / info.block_size) * info.block_size;
  }

  /** Reads `blocks` blocks from `lba` on. Rejects with an {@link NvmeError}. */
  async read(lba: number, blocks: number): Promise<Uint8Array> {
    const { block_size } = this.info;
    this.check(lba, blocks);
    const out = new Uint8Array(blocks * block_size);
    await this.inPieces(blocks, async (from, count) => {
      const fields = { opcode: nvmOpcode.read, ...this.range(lba + from, count) };
      const { data } = await this.io.succeed(fields, {
        in: count * block_size,
        what: `Read of LBA ${lba + from}`,
      });
      out.set(data, from * block_size);
    });
    return out;
  }

  /** Writes whole blocks from `lba` on. Rejects with an {@link NvmeError}: some of it may be written then. */
  async write(lba: number, data: Uint8Array): Promise<void> {
    const { block_size } = this.info;
    const blocks = data.length / block_size;
    if (!Number.isInteger(blocks))
      throw new NvmeError('EINVAL', `data is ${data.length} bytes: it must be whole blocks of ${block_size}`);
    this.check(lba, blocks);
    await this.inPieces(blocks, async (from, count) => {
      const piece = data.subarray(from * block_size, (from + count) * block_size);
      const fields = { opcode: nvmOpcode.write, ...this.range(lba + from, count) };
      await this.io.succeed(fields, { out: piece, what: `Write of LBA ${lba + from}` });
    });
  }

  /** What was written before is on stable media when this resolves. */
  async flush(): Promise<void> {
    await this.io.succeed({ opcode: nvmOpcode.flush, nsid: this.info.nsid }, { what: 'Flush' });
  }

  private check(lba: number, blocks: number): void {
    const { num_blocks, unusable, nsid } = this.info;
    if (unusable !== '') throw new NvmeError('EUNSUPPORTED', `namespace ${nsid}: ${unusable}`);
    if (!Number.isSafeInteger(lba) || lba < 0 || !(blocks > 0) || lba + blocks > num_blocks)
      throw new NvmeError(
        'EINVAL',
        `blocks ${lba}…${lba + blocks} are not in namespace ${nsid}, which has ${num_blocks}`,
      );
  }

  private range(slba: number, blocks: number) {
    return { nsid: this.info.nsid, cdw10: slba >>> 0, cdw11: Math.floor(slba / 2 ** 32), cdw12: blocks - 1 };
  }

  private async inPieces(blocks: number, run: (from: number, count: number) => Promise<void>): Promise<void> {
    const most = Math.min(65_536, this.bytes_max / this.info.block_size);
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < blocks) {
        const from = next;
        const count = Math.min(most, blocks - from);
        next += count;
        await run(from, count);
      }
    };
    await Promise.all(Array.from({ length: Math.min(PIECES_MAX, Math.ceil(blocks / most)) }, lane));
  }
}

/** A controller that is connected, on the caller's own thread, with one I/O queue. */
export class Connection implements AsyncDisposable {
  readonly controller: NvmeController;
  /** Commands that have no method of their own. */
  readonly admin: Commands;
  private readonly own: OwnReactor;
  private readonly commands: Commands | null;
  private closing: Promise<void> | null = null;

  /** For {@link connect}. */
  static async open(trid: TransportId, options: Partial<NvmeOptions>): Promise<Connection> {
    const target = await resolveTarget(trid, options);
    const own = await OwnReactor.start(trid.trtype === 'VFIOUSER');
    const group = NvmePollGroup.of(own.reactor);
    try {
      const controller = await NvmeController.connect(group, target);
      const queue = controller.num_io_queues > 0 ? await controller.openIoQueue() : null;
      return new Connection(own, controller, queue === null ? null : new Commands(queue));
    } catch (error) {
      await group.destroy();
      await own.stop();
      throw error;
    }
  }

  private constructor(own: OwnReactor, controller: NvmeController, io: Commands | null) {
    this.own = own;
    this.controller = controller;
    this.admin = controller.admin;
    this.commands = io;
  }

  /** I/O commands, for what namespaces have no method for. Throws on a discovery controller, which has no I/O queue. */
  get io(): Commands {
    if (this.commands === null)
      throw new NvmeError(
        'EUNSUPPORTED',
        'the controller has granted no I/O queue: it may be a discovery controller',
      );
    return this.commands;
  }

  /** Asks the controller what it is (Identify Controller). */
  async identify() {
    return identifyController.decode(await identify(this.admin, cns.controller));
  }

  /** Active namespaces. */
  get namespaces(): readonly NamespaceInfo[] {
    return [...this.controller.namespaces.values()];
  }

  /** One of them. Throws if it is not there. */
  namespace(nsid: number): Namespace {
    const info = this.controller.namespaces.get(nsid);
    if (info === undefined) {
      const there = [...this.controller.namespaces.keys()].join(', ');
      throw new NvmeError(
        'EINVAL',
        `there is no namespace ${nsid}: active are ${there === '' ? 'none' : there}`,
      );
    }
    const { transfer_bytes, group } = this.controller;
    return new Namespace(info, this.io, Math.min(transfer_bytes, group.reactor.buffers.max_bytes));
  }

  /** What happens from now on: connections lost and found, namespaces that come and go, asynchronous events. */
  get events(): AsyncIterableIterator<ControllerEvent> {
    return this.controller.events[Symbol.asyncIterator]();
  }

  /** Sends an Admin command. Resolves with its completion, whatever its status. */
  adminCommand(fields: CommandFields, data?: CommandData): Promise<Completion> {
    return this.admin.run(fields, data);
  }

  /** Shuts the controller down and closes its connections. */
  close(): Promise<void> {
    this.closing ??= (async () => {
      await this.controller.close();
      await this.controller.group.destroy();
      await this.own.stop();
    })();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Connects to a subsystem, given as transport id or its text (`trtype:TCP traddr:… trsvcid:… subnqn:…`, `trtype:VFIOUSER traddr:/DIRECTORY`). Rejects with an
 * {@link NvmeError} that tells which step failed.
 */
export function connect(to: string | TransportId, options: Partial<NvmeOptions> = {}): Promise<Connection> {
  return Connection.open(typeof to === 'string' ? parseTransportId(to) : to, options);
}
