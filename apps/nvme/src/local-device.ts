import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { nvmePassthrough } from '@spdk-ts/file-io';
import { native } from '@spdk-ts/native';
import {
  activeNamespaces,
  type CommandData,
  type CommandFields,
  CommandSender,
  type Completion,
  describeNamespace,
  identify,
  Namespace,
  type NamespaceInfo,
  NvmeError,
} from '@spdk-ts/nvme';
import { cns, type IdentifyController, identifyController } from '@spdk-ts/nvme-spec';
import { Uring, UringOp } from '@spdk-ts/reactor';
import type { About, Device } from './device.ts';

const { ADDRESS, adminCommand, beginCommand, CDW2, CDW3, CDW10, CDW11, CDW12, CDW13, CDW14, CDW15 } =
  nvmePassthrough;
const { DATA_LENGTH, setWords } = nvmePassthrough;

/** What one command transfers at most: more than the driver takes of a device whose controller names no limit. */
const TRANSFER_MAX = 128 * 1024;
const PAGE_BYTES = 4096;

const wordsOf = ({ cdw2 = 0, cdw3 = 0, cdw10 = 0, cdw11 = 0, ...rest }: CommandFields) => ({
  ...{ [CDW2]: cdw2, [CDW3]: cdw3, [CDW10]: cdw10, [CDW11]: cdw11, [CDW12]: rest.cdw12 ?? 0 },
  ...{ [CDW13]: rest.cdw13 ?? 0, [CDW14]: rest.cdw14 ?? 0, [CDW15]: rest.cdw15 ?? 0 },
});

/** Memory for a command's data, which the kernel may use. */
function memoryFor({ out, in: wanted = 0 }: CommandData): Uint8Array {
  const memory = new Uint8Array(new ArrayBuffer(out?.length ?? wanted));
  if (out !== undefined) memory.set(out);
  return memory;
}

function checkFused({ fuse = 0 }: CommandFields): void {
  if (fuse !== 0) throw new NvmeError('EUNSUPPORTED', 'the driver of the kernel sends no fused commands');
}

const refused = (name: string, errno: number): NvmeError =>
  new NvmeError('EINVAL', `${name}: the driver refuses the command (errno ${errno}): are you root?`);

/** Admin commands of a local device, by the driver's ioctl. */
class AdminSender extends CommandSender {
  readonly name: string;
  private readonly fd: number;

  constructor(name: string, fd: number) {
    super();
    this.name = name;
    this.fd = fd;
  }

  async run(fields: CommandFields, data: CommandData = {}): Promise<Completion> {
    checkFused(fields);
    const memory = memoryFor(data);
    const command = adminCommand(fields.opcode, fields.nsid ?? 0, wordsOf(fields));
    const status = native!.nvmeAdmin(this.fd, command, memory);
    if (status < 0) throw refused(this.name, -status);
    const told = data.in === undefined ? new Uint8Array(0) : memory;
    return { status, dw0: command.at(-1)!, dw1: 0, data: told };
  }
}

/** I/O commands of a namespace, as entries of a ring (IORING_OP_URING_CMD). */
class IoSender extends CommandSender {
  readonly name: string;
  private readonly fd: number;
  private readonly ring: Uring;

  constructor(name: string, fd: number) {
    super();
    this.name = name;
    this.fd = fd;
    try {
      this.ring = new Uring(native!, () => {}, null, { entries: 8, cq_entries: 16, wide: true });
    } catch (error) {
      throw this.without((error as Error).message);
    }
    if (!this.ring.operations()(UringOp.URING_CMD)) throw this.without('it has no IORING_OP_URING_CMD');
  }

  private without(why: string): NvmeError {
    return new NvmeError(
      'EUNSUPPORTED',
      `${this.name}: this kernel has no passthrough, which Linux 5.19 brought: ${why}`,
    );
  }

  async run(fields: CommandFields, data: CommandData = {}): Promise<Completion> {
    checkFused(fields);
    const { ring } = this;
    const memory = memoryFor(data);
    let ended: { result: number; dw0: number; dw1: number } | null = null;
    const handler = ring.addHandler({
      uringComplete: (_tag, result) => {
        ended = { result, dw0: ring.extraLow >>> 0, dw1: ring.extraHigh >>> 0 };
      },
    });
    const at = ring.prepare(UringOp.URING_CMD, this.fd, 0, 0, handler, 0);
    beginCommand(ring, at, fields.opcode, fields.nsid ?? 0);
    for (const [word, value] of Object.entries(wordsOf(fields))) ring.words[at + Number(word)] = value;
    if (memory.length > 0) {
      setWords(ring, at, ADDRESS, native!.addressOf(memory));
      ring.words[at + DATA_LENGTH] = memory.length;
    }
    while (ended === null) {
      ring.enter();
      await turn();
    }
    ring.removeHandler(handler);
    const { result, dw0, dw1 } = ended as { result: number; dw0: number; dw1: number };
    if (result < 0) throw refused(this.name, -result);
    return { status: result, dw0, dw1, data: data.in === undefined ? new Uint8Array(0) : memory };
  }
}

/** A controller or namespace of this machine, by the character device that the kernel's driver has for it. */
export class LocalDevice implements Device {
  readonly remote = null;
  readonly admin: CommandSender;
  readonly namespaces: readonly NamespaceInfo[];
  private readonly name: string;
  private readonly fd: number;
  private readonly told: IdentifyController;
  private sender: IoSender | null = null;

  /** Opens `/dev/ngXnY`, or `/dev/nvmeX` for Admin commands alone. Rejects with an {@link NvmeError} that says what to change. */
  static async open(name: string): Promise<LocalDevice> {
    if (native === null)
      throw new NvmeError(
        'EUNSUPPORTED',
        `${name}: local devices need the native addon, which is not loaded`,
      );
    let fd: number;
    try {
      fd = openSync(name, constants.O_RDWR);
    } catch (error) {
      throw new NvmeError('EINVAL', `${name} cannot be opened: ${(error as Error).message}`);
    }
    try {
      if (!fstatSync(fd).isCharacterDevice())
        throw new NvmeError(
          'EINVAL',
          `${name} is no character device: give one such as /dev/ng0n1, or /dev/nvme0`,
        );
      const nsid = native.nvmeNamespace(fd);
      const admin = new AdminSender(name, fd);
      const told = identifyController.decode(await identify(admin, cns.controller));
      const namespaces: NamespaceInfo[] = [];
      for (const one of nsid > 0 ? [nsid] : await activeNamespaces(admin)) {
        const info = await describeNamespace(admin, one);
        if (info !== null) namespaces.push(info);
      }
      return new LocalDevice(name, fd, admin, told, namespaces);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  private constructor(
    name: string,
    fd: number,
    admin: CommandSender,
    told: IdentifyController,
    namespaces: readonly NamespaceInfo[],
  ) {
    this.name = name;
    this.fd = fd;
    this.admin = admin;
    this.told = told;
    this.namespaces = namespaces;
  }

  /** Throws for a controller's device, which takes no I/O commands. */
  get io(): CommandSender {
    if (native!.nvmeNamespace(this.fd) <= 0)
      throw new NvmeError(
        'EUNSUPPORTED',
        `${this.name} is a controller's device: I/O commands go to a namespace's, such as /dev/ng0n1`,
      );
    this.sender ??= new IoSender(this.name, this.fd);
    return this.sender;
  }

  private get transfer_bytes(): number {
    const { mdts } = this.told;
    return mdts === 0 ? TRANSFER_MAX : Math.min(TRANSFER_MAX, 2 ** Math.min(mdts, 31) * PAGE_BYTES);
  }

  namespace(nsid: number): Namespace {
    const info = this.namespaces.find((one) => one.nsid === nsid);
    if (info === undefined) {
      const own = this.namespaces.map((one) => one.nsid).join(', ');
      throw new NvmeError('EINVAL', `${this.name} is not of namespace ${nsid}, but of ${own}`);
    }
    return new Namespace(info, this.io, this.transfer_bytes);
  }

  async identify(): Promise<IdentifyController> {
    return this.told;
  }

  about(): About {
    return {
      title: `NVMe controller at ${this.name}`,
      place: { device: this.name },
      ...{ cntlid: this.told.cntlid, version: this.told.ver, num_io_queues: null, capabilities: null },
      max_transfer_bytes: this.transfer_bytes,
      controller: this.told,
    };
  }

  async close(): Promise<void> {
    closeSync(this.fd);
  }
}
