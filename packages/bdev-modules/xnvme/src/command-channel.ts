import { getSystemErrorMap } from 'node:util';
import { type BdevDescription, type BdevIo, IoStatus, IoType, type ModuleChannel } from '@spdk-ts/bdev';
import { ZoneOrder } from '@spdk-ts/file-io';
import type { Logger } from '@spdk-ts/log';
import { kvOpcode, nvmOpcode, statusSc, statusSct, znsOpcode } from '@spdk-ts/nvme-spec';
import type { Thread, Uring, UringHandler } from '@spdk-ts/reactor';
import { Command } from './command.ts';
import { CommandSender, type CommandTarget } from './command-sender.ts';
import type { CommandContext } from './context.ts';
import { isConcerned, takeReport } from './zone-commands.ts';

/** Failed I/Os of a channel that are logged. */
const LOGGED_MAX = 20;

const EINTR = -4;
const EAGAIN = -11;
const ENOMEM = -12;
const ECANCELED = -125;

/** A thread's way to an NVMe namespace: I/Os become commands, as they are, and end with the status that those have. */
export class CommandChannel implements ModuleChannel, UringHandler {
  private readonly description: BdevDescription;
  private readonly context: CommandContext;
  private readonly target: CommandTarget;
  private readonly ring: Uring;
  private readonly sender: CommandSender;
  /** Of a zoned namespace. */
  private readonly order: ZoneOrder | null;
  private readonly log: Logger;
  private logged = 0;
  private readonly commands: Command[] = [];
  private readonly unused: Command[] = [];
  private readonly onDestroy: () => void;

  constructor(
    description: BdevDescription,
    target: CommandTarget,
    thread: Thread,
    log: Logger,
    onDestroy: () => void,
  ) {
    this.description = description;
    this.context = description.context as CommandContext;
    this.target = target;
    this.ring = target.ring;
    this.sender = new CommandSender(description, target, this);
    this.log = log;
    this.onDestroy = onDestroy;
    const { zone_gates } = this.context;
    this.order =
      zone_gates === null
        ? null
        : new ZoneOrder(thread, zone_gates, description.zone_size, (io) => this.begin(io));
  }

  submit(io: BdevIo): void {
    if (io.type === IoType.RESET) {
      // The kernel gives no command back before its time is up: those that it has end as they would.
      this.order?.abortAll();
      io.complete(IoStatus.SUCCESS);
    } else if (this.order !== null && io.type === IoType.WRITE) this.order.begin(io);
    else this.begin(io);
  }

  private newCommand(): Command {
    const command = new Command(this.commands.length);
    this.commands.push(command);
    return command;
  }

  private begin(io: BdevIo): void {
    const command = this.unused.length > 0 ? this.unused.pop()! : this.newCommand();
    command.io = io;
    command.done = 0;
    command.count = io.num_blocks;
    command.aside = false;
    this.request(command);
  }

  /** Sends what is to be done next. */
  private request(command: Command): void {
    const { sender } = this;
    const io = command.io!;
    switch (io.type) {
      case IoType.READ:
        sender.transfer(command, nvmOpcode.read, this.readable(command));
        break;
      case IoType.WRITE:
        sender.transfer(command, nvmOpcode.write, io.num_blocks);
        break;
      case IoType.COMPARE:
        sender.transfer(command, nvmOpcode.compare, io.num_blocks);
        break;
      case IoType.ZONE_APPEND:
        sender.transfer(command, znsOpcode.zoneAppend, io.num_blocks);
        break;
      case IoType.WRITE_ZEROES:
        sender.onBlocks(command, nvmOpcode.writeZeroes, io.num_blocks);
        break;
      case IoType.FLUSH:
        sender.plain(command, nvmOpcode.flush);
        break;
      case IoType.UNMAP:
        sender.deallocate(command);
        break;
      case IoType.GET_ZONE_INFO:
        this.askForZones(command, (io.num_blocks - command.done) / this.description.zone_size);
        break;
      case IoType.ZONE_MANAGEMENT:
        this.manage(command);
        break;
      default:
        this.requestKey(command);
    }
  }

  private requestKey(command: Command): void {
    const { sender } = this;
    const io = command.io!;
    switch (io.type) {
      case IoType.KV_STORE:
        sender.onKey(command, kvOpcode.store, io.bytes);
        break;
      case IoType.KV_RETRIEVE:
        sender.onKey(command, kvOpcode.retrieve, io.bytes);
        break;
      case IoType.KV_LIST:
        sender.onKey(command, kvOpcode.list, io.bytes);
        break;
      case IoType.KV_EXIST:
        sender.onKey(command, kvOpcode.exist, 0);
        break;
      case IoType.KV_DELETE:
        sender.onKey(command, kvOpcode.delete, 0);
        break;
      default:
        this.end(command, IoStatus.FAILED);
    }
  }

  /** Blocks that the next command may read: some devices do not read across the end of a zone. */
  private readable(command: Command): number {
    const io = command.io!;
    const left = io.num_blocks - command.done;
    if (this.context.cross_reads) return left;
    const { zone_size } = this.description;
    return Math.min(left, zone_size - ((io.offset_blocks + command.done) % zone_size));
  }

  // --- zones ---

  private askForZones(command: Command, zones: number): void {
    this.sender.reportZones(command, command.io!.offset_blocks + command.done, zones);
  }

  /** True for an action on some of the zones: one after the other, each asked first whether it is concerned. */
  private isSelective(io: BdevIo): boolean {
    return io.zone_all && io.num_blocks < this.description.num_blocks;
  }

  private manage(command: Command): void {
    const io = command.io!;
    command.aside = this.isSelective(io);
    if (command.aside) this.askForZones(command, 1);
    else this.sender.manageZone(command, io.offset_blocks, io.zone_all);
  }

  private advanceReport(command: Command, zones: number): void {
    const io = command.io!;
    command.done += zones * this.description.zone_size;
    const more = zones > 0 && command.done < io.num_blocks && io.zones!.count < io.zones!.capacity;
    if (more) this.request(command);
    else this.end(command, IoStatus.SUCCESS);
  }

  private advanceManagement(command: Command): void {
    const io = command.io!;
    if (!this.isSelective(io)) {
      this.end(command, IoStatus.SUCCESS);
      return;
    }
    const asked = command.aside;
    command.aside = false;
    if (asked && isConcerned(command.scratch(this.target.native), io.zone_action)) {
      this.sender.manageZone(command, io.offset_blocks + command.done, false);
      return;
    }
    command.done += this.description.zone_size;
    if (command.done < io.num_blocks) this.request(command);
    else this.end(command, IoStatus.SUCCESS);
  }

  // --- ends ---

  uringComplete(tag: number, result: number): void {
    const command = this.commands[tag]!;
    if (result === 0) this.advance(command);
    else if (result > 0) this.endNvme(command, statusSct(result), statusSc(result));
    else this.fail(command, result);
  }

  private advance(command: Command): void {
    const io = command.io!;
    switch (io.type) {
      case IoType.READ:
        command.done += command.count;
        if (command.done < io.num_blocks) this.request(command);
        else this.end(command, IoStatus.SUCCESS);
        return;
      case IoType.ZONE_APPEND:
        io.append_location = this.ring.extraHigh * 0x1_0000_0000 + this.ring.extraLow;
        this.end(command, IoStatus.SUCCESS);
        return;
      case IoType.GET_ZONE_INFO:
        this.advanceReport(command, takeReport(command.scratch(this.target.native), io.zones!));
        return;
      case IoType.ZONE_MANAGEMENT:
        this.advanceManagement(command);
        return;
      case IoType.KV_RETRIEVE:
        io.cdw0 = this.ring.extraLow;
        this.end(command, IoStatus.SUCCESS);
        return;
      case IoType.KV_STORE:
        this.advanceStore(command);
        return;
      default:
        this.end(command, IoStatus.SUCCESS);
    }
  }

  /** A store has no bit for force unit access: a flush follows it. */
  private advanceStore(command: Command): void {
    if (!command.io!.fua || command.aside) {
      this.end(command, IoStatus.SUCCESS);
      return;
    }
    command.aside = true;
    this.sender.plain(command, nvmOpcode.flush);
  }

  private endNvme(command: Command, sct: number, sc: number): void {
    const io = command.io!;
    io.sct = sct;
    io.sc = sc;
    this.end(command, IoStatus.NVME_ERROR);
  }

  private fail(command: Command, errno: number): void {
    const io = command.io!;
    const again = errno === EAGAIN || errno === ENOMEM;
    // A write to a zone keeps its turn: those behind it would come out of order.
    if (again && this.order !== null && io.type === IoType.WRITE) this.request(command);
    else if (again) this.end(command, IoStatus.NOMEM);
    else if (errno === EINTR || errno === ECANCELED) this.end(command, IoStatus.ABORTED);
    else {
      this.report(io.type, errno);
      this.end(command, IoStatus.FAILED);
    }
  }

  private report(type: number, errno: number): void {
    if (this.logged++ >= LOGGED_MAX) return;
    const [name, text] = getSystemErrorMap().get(errno) ?? [String(errno), 'unknown error'];
    const last = this.logged === LOGGED_MAX ? '; further failures are not logged' : '';
    this.log.error(
      `bdev ${this.description.name}: the kernel refused a command to ${this.context.filename} ` +
        `(I/O type ${type}): ${name}: ${text}${last}`,
    );
  }

  private end(command: Command, status: number): void {
    const io = command.io!;
    command.io = null;
    this.unused.push(command);
    if (this.order !== null && io.type === IoType.WRITE) this.order.ended(io);
    io.complete(status);
  }

  /** Only what waits for its turn can be taken back. */
  abort(io: BdevIo): boolean {
    return this.order?.abort(io) ?? false;
  }

  destroy(): void {
    this.sender.destroy();
    this.onDestroy();
  }
}
