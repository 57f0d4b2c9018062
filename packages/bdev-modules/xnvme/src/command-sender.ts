import { type BdevDescription, IoType } from '@spdk-ts/bdev';
import type { RegionTable } from '@spdk-ts/env';
import { KernelIoVec, nvmePassthrough } from '@spdk-ts/file-io';
import type { Native } from '@spdk-ts/native';
import { nvmOpcode, znsOpcode } from '@spdk-ts/nvme-spec';
import { FIXED_FILE, type Uring, type UringHandler, UringOp } from '@spdk-ts/reactor';
import type { Command } from './command.ts';
import type { CommandContext } from './context.ts';
import { askForZones, setZoneAction } from './zone-commands.ts';

const {
  ADDRESS,
  BUFFER_INDEX,
  beginCommand,
  CDW2,
  CDW3,
  CDW10,
  CDW11,
  CDW12,
  CDW14,
  CDW15,
  CMD_FLAGS,
  CMD_OP,
  DATA_LENGTH,
  NVME_URING_CMD_IO_VEC,
  setWords,
  URING_CMD_FIXED,
} = nvmePassthrough;

/** Force Unit Access, in command dword 12. */
const FUA = 0x4000_0000;
/** Attribute Deallocate of Dataset Management, in command dword 11; words of a range. */
const DEALLOCATE = 4;
const RANGE_WORDS = 4;

/** What the channels of one namespace on one reactor have in common. */
export interface CommandTarget {
  readonly native: Native;
  /** A wide ring. */
  readonly ring: Uring;
  readonly regions: RegionTable;
  /** The descriptor, and its place in the ring's table of files (-1: it has none). */
  readonly fd: number;
  readonly place: number;
  /** Commands may name registered memory (Linux 6.1). */
  readonly fixed: boolean;
}

/** Puts commands for one namespace into a ring: each is told to the handler with the number of its {@link Command}. */
export class CommandSender {
  private readonly context: CommandContext;
  private readonly block_size: number;
  private readonly target: CommandTarget;
  private readonly ring: Uring;
  private readonly handler: number;

  constructor(description: BdevDescription, target: CommandTarget, handler: UringHandler) {
    this.context = description.context as CommandContext;
    this.block_size = description.block_size;
    this.target = target;
    this.ring = target.ring;
    this.handler = target.ring.addHandler(handler);
  }

  destroy(): void {
    this.ring.removeHandler(this.handler);
  }

  /** A command without data: the index of its entry's first word. */
  plain(command: Command, opcode: number): number {
    const { ring, target } = this;
    const registered = target.place >= 0;
    const op = registered ? UringOp.URING_CMD | FIXED_FILE : UringOp.URING_CMD;
    const at = ring.prepare(op, registered ? target.place : target.fd, 0, 0, this.handler, command.index);
    beginCommand(ring, at, opcode, this.context.nsid);
    return at;
  }

  /** A command on the next `count` blocks, without data. */
  onBlocks(command: Command, opcode: number, count: number): number {
    const io = command.io!;
    const at = this.plain(command, opcode);
    command.count = count;
    setWords(this.ring, at, CDW10, io.offset_blocks + command.done);
    this.ring.words[at + CDW12] = (count - 1) | (io.fua && io.type !== IoType.READ ? FUA : 0);
    return at;
  }

  /** The same, with the data. */
  transfer(command: Command, opcode: number, count: number): void {
    const { block_size } = this;
    const at = this.onBlocks(command, opcode, count);
    this.setData(command, at, command.done * block_size, count * block_size);
  }

  /** Gives a command `bytes` of the I/O's data, from byte `skip` on. */
  private setData(command: Command, at: number, skip: number, bytes: number): void {
    const { ring, target } = this;
    const { regions } = target;
    const { words } = ring;
    const io = command.io!;
    if (io.iovs === null) {
      const offset = io.offset + skip;
      const buffer = target.fixed ? ring.buffers.find(io.region, offset, bytes) : -1;
      if (buffer >= 0) {
        words[at + CMD_FLAGS] = URING_CMD_FIXED;
        words[at + BUFFER_INDEX] = buffer;
      }
      setWords(ring, at, ADDRESS, regions.address(io.region, offset));
      words[at + DATA_LENGTH] = bytes;
      return;
    }
    if (command.iovec === null) command.iovec = new KernelIoVec(target.native);
    const { iovec } = command;
    const pieces = iovec.fill(regions, io.iovs, skip);
    words[at + CMD_OP] = NVME_URING_CMD_IO_VEC;
    words[at + DATA_LENGTH] = iovec.cut(pieces, bytes);
    setWords(ring, at, ADDRESS, iovec.address);
  }

  /** The data are in the command's own memory. */
  private setScratch(command: Command, at: number, bytes: number): void {
    setWords(this.ring, at, ADDRESS, command.address);
    this.ring.words[at + DATA_LENGTH] = bytes;
  }

  /** Deallocates the I/O's blocks, in as many ranges as it takes. */
  deallocate(command: Command): void {
    const io = command.io!;
    const most = this.context.range_blocks_max;
    const words = command.scratch(this.target.native);
    let ranges = 0;
    for (let done = 0; done < io.num_blocks; done += most) {
      const first = io.offset_blocks + done;
      const to = ranges++ * RANGE_WORDS;
      words[to] = 0;
      words[to + 1] = Math.min(most, io.num_blocks - done);
      words[to + 2] = first; // ToUint32: the low word
      words[to + 3] = first / 0x1_0000_0000;
    }
    const at = this.plain(command, nvmOpcode.datasetManagement);
    this.ring.words[at + CDW10] = ranges - 1;
    this.ring.words[at + CDW11] = DEALLOCATE;
    this.setScratch(command, at, ranges * RANGE_WORDS * 4);
  }

  /** Asks for zones from a block on, as many of `zones` as fit: the answer will be in the command's own memory. */
  reportZones(command: Command, block: number, zones: number): void {
    command.scratch(this.target.native);
    const at = this.plain(command, znsOpcode.zoneManagementReceive);
    this.setScratch(command, at, askForZones(this.ring, at, block, zones));
  }

  /** A ZoneAction on the zone that begins at a block, or on all that it is for. */
  manageZone(command: Command, block: number, all: boolean): void {
    const at = this.plain(command, znsOpcode.zoneManagementSend);
    setZoneAction(this.ring, at, block, command.io!.zone_action, all);
  }

  /** A command on the I/O's key (Key Value Command Set 1.0, 3.2), with `bytes` of data or room for them. */
  onKey(command: Command, opcode: number, bytes: number): void {
    const { words } = this.ring;
    const io = command.io!;
    const at = this.plain(command, opcode);
    words[at + CDW2] = io.key0;
    words[at + CDW3] = io.key1;
    words[at + CDW14] = io.key2;
    words[at + CDW15] = io.key3;
    words[at + CDW11] = io.key_length | (io.type === IoType.KV_STORE ? io.kv_options << 8 : 0);
    words[at + CDW10] = bytes;
    if (bytes > 0) this.setData(command, at, 0, bytes);
  }
}
