import { Channel, type ChannelHandler, channelLimits, type Message } from './channel.ts';
import type { Descriptors } from './descriptors.ts';
import {
  type DeviceInfo,
  encodeDeviceInfo,
  encodeRegionInfo,
  parseDeviceFeature,
  parseDeviceInfoQuery,
  parseRegionInfoQuery,
  parseRegionIoFdsQuery,
  type RegionInfo,
} from './device-info.ts';
import { type DmaMap, type DmaUnmap, encodeDmaUnmap, parseDmaMap, parseDmaUnmap } from './dma.ts';
import { Errno, invalid, VfioUserError } from './errors.ts';
import { encodeErrorReply, encodeReply } from './header.ts';
import { encodeIrqInfo, type IrqInfo, type IrqSet, parseIrqInfoQuery, parseIrqSet } from './irqs.ts';
import { Command, commandName, HeaderFlag, PROTOCOL_MINOR } from './protocol.ts';
import {
  encodeRegionAccess,
  encodeRegionWriteMultiReply,
  parseRegionAccess,
  parseRegionWriteMulti,
} from './region-access.ts';
import { commonVersion, encodeVersion, parseVersion } from './version.ts';

/**
 * A device that a {@link ServerConnection} serves. What it refuses it throws as VfioUserError, whose errno is the reply.
 * `done` of what may take its time is called once, with an errno number or 0, also from within the call; until
 * then no further message is taken.
 */
export interface VfioUserDevice {
  readonly info: DeviceInfo;
  /** Interrupts of each kind, by PciIrq. */
  readonly irqs: readonly IrqInfo[];
  /** Regions, by PciRegion, and the descriptor that each can be mapped with, or -1. */
  readonly regions: readonly (RegionInfo & { readonly fd: number })[];
  /** Reads `into.length` bytes, which lie inside of the region. */
  regionRead(region: number, offset: number, into: Uint8Array): void;
  /** Writes bytes that lie inside of the region; they are valid during the call. */
  regionWrite(region: number, offset: number, data: Uint8Array): void;
  /** `fd` is the device's from now on, whatever happens; -1: the memory cannot be mapped. */
  dmaMap(map: DmaMap, fd: number, done: (errno: number) => void): void;
  dmaUnmap(unmap: DmaUnmap, done: (errno: number) => void): void;
  /** Takes the descriptors that it keeps. */
  setIrqs(set: IrqSet, descriptors: Descriptors): void;
  reset(done: (errno: number) => void): void;
  /** The connection has ended: `reason` is empty if the client closed it. */
  closed(reason: string): void;
}

export interface ServerLimits {
  /** Bytes of data in one message. */
  readonly max_data_xfer_size: number;
  /** Descriptors with one message. */
  readonly max_msg_fds: number;
  readonly max_dma_maps: number;
}

export const defaultServerLimits: ServerLimits = {
  max_data_xfer_size: 1_048_576,
  max_msg_fds: 8,
  max_dma_maps: 4096,
};

const nothing = new Uint8Array(0);

/** One client of a device: answers its messages, in order. */
export class ServerConnection implements ChannelHandler {
  readonly channel: Channel;
  private readonly device: VfioUserDevice;
  private readonly limits: ServerLimits;
  private negotiated = false;

  /** `fd`: a connected UNIX socket, which is the connection's from now on. */
  constructor(fd: number, device: VfioUserDevice, limits: ServerLimits = defaultServerLimits) {
    this.device = device;
    this.limits = limits;
    this.channel = new Channel(fd, this, channelLimits(limits.max_data_xfer_size, limits.max_msg_fds));
  }

  /** {@link Channel.receive}. */
  receive(): number {
    return this.channel.receive();
  }

  close(): void {
    this.channel.close();
  }

  closed(error: Error | null): void {
    this.device.closed(error?.message ?? '');
  }

  message(message: Message): void {
    if ((message.flags & HeaderFlag.typeMask) !== HeaderFlag.command)
      throw new VfioUserError(Errno.EINVAL, 'a reply to a command that was not sent', true);
    try {
      this.execute(message);
    } catch (error) {
      if (!(error instanceof VfioUserError)) throw error;
      if (error.fatal) throw error;
      this.refuse(message, error.errno);
    }
  }

  private refuse({ id, command, flags }: Message, errno: number): void {
    if ((flags & HeaderFlag.noReply) === 0) this.channel.send(encodeErrorReply(id, command, errno));
  }

  private reply({ id, command, flags }: Message, payload: Uint8Array = nothing, fds?: Int32Array): void {
    if ((flags & HeaderFlag.noReply) === 0) this.channel.send(encodeReply(id, command, payload), fds);
  }

  /** Starts what may take its time: the reply is sent, and the next message taken, when it is done. */
  private later(message: Message, payload: Uint8Array, begin: (done: (errno: number) => void) => void): void {
    const { id, command, flags } = message;
    const kept = { id, command, flags } as Message;
    this.channel.pause();
    let ended = false;
    const done = (errno: number): void => {
      if (ended) return;
      ended = true;
      this.channel.resume();
      if (errno === 0) this.reply(kept, payload);
      else this.refuse(kept, errno);
    };
    try {
      begin(done);
    } catch (error) {
      ended = true;
      this.channel.resume();
      throw error;
    }
  }

  private execute(message: Message): void {
    const { command, payload, descriptors } = message;
    const { device } = this;
    if (!this.negotiated) {
      this.negotiate(message);
      return;
    }
    if (descriptors.count > 0 && command !== Command.dmaMap && command !== Command.deviceSetIrqs)
      throw invalid(`${commandName(command)} brings descriptors`);
    switch (command) {
      case Command.regionWrite:
        this.write(message);
        break;
      case Command.regionRead:
        this.read(message);
        break;
      case Command.regionWriteMulti:
        this.writeMulti(message);
        break;
      case Command.dmaMap:
        this.map(message);
        break;
      case Command.dmaUnmap: {
        const unmap = parseDmaUnmap(payload);
        this.later(message, encodeDmaUnmap(unmap), (done) => device.dmaUnmap(unmap, done));
        break;
      }
      case Command.deviceGetInfo:
        parseDeviceInfoQuery(payload);
        this.reply(message, encodeDeviceInfo(device.info));
        break;
      case Command.deviceGetRegionInfo:
        this.regionInfo(message);
        break;
      case Command.deviceGetIrqInfo: {
        const irq = device.irqs[parseIrqInfoQuery(payload)];
        if (irq === undefined) throw invalid('there are no interrupts of this kind');
        this.reply(message, encodeIrqInfo(irq));
        break;
      }
      case Command.deviceSetIrqs: {
        const counts = device.irqs.map(({ count }) => count);
        device.setIrqs(parseIrqSet(payload, counts, descriptors.count), descriptors);
        this.reply(message);
        break;
      }
      case Command.deviceReset:
        if (payload.length > 0) throw invalid(`DEVICE_RESET has ${payload.length} bytes`);
        this.later(message, nothing, (done) => device.reset(done));
        break;
      default:
        this.refuseKnown(command, payload);
    }
  }

  /** Commands that the protocol has and this server does not. */
  private refuseKnown(command: number, payload: Uint8Array): never {
    switch (command) {
      case Command.deviceGetRegionIoFds:
        parseRegionIoFdsQuery(payload);
        throw new VfioUserError(Errno.EOPNOTSUPP, 'regions are not accessed through descriptors');
      case Command.deviceFeature:
        // What Linux's VFIO answers for a feature that a device does not have: there is no migration.
        parseDeviceFeature(payload);
        throw new VfioUserError(Errno.ENOTTY, 'the device has no features beside its regions and interrupts');
      case Command.migDataRead:
      case Command.migDataWrite:
        throw new VfioUserError(Errno.EOPNOTSUPP, 'the device cannot be migrated');
      default:
        throw invalid(`${commandName(command)} is not a client's`);
    }
  }

  private negotiate(message: Message): void {
    if (message.command !== Command.version)
      throw new VfioUserError(Errno.EINVAL, `${commandName(message.command)} before VERSION`, true);
    const { payload, descriptors } = message;
    try {
      if (descriptors.count > 0) throw invalid('VERSION brings descriptors');
      const theirs = parseVersion(payload);
      const { major, minor } = commonVersion(theirs, PROTOCOL_MINOR);
      const { max_data_xfer_size, max_msg_fds, max_dma_maps } = this.limits;
      const ours: Record<string, unknown> = { max_msg_fds, max_data_xfer_size, max_dma_maps, pgsizes: 4096 };
      if (theirs.capabilities.write_multiple) ours['write_multiple'] = true;
      this.negotiated = true;
      this.reply(message, encodeVersion(major, minor, ours));
    } catch (error) {
      if (!(error instanceof VfioUserError)) throw error;
      this.refuse(message, error.errno);
      throw new VfioUserError(error.errno, error.message, true);
    }
  }

  private map(message: Message): void {
    const { payload, descriptors } = message;
    const map = parseDmaMap(payload);
    if (descriptors.count > 1) throw invalid(`DMA_MAP brings ${descriptors.count} descriptors`);
    this.later(message, nothing, (done) => this.device.dmaMap(map, descriptors.take(0), done));
  }

  private regionInfo(message: Message): void {
    const { index, argsz } = parseRegionInfoQuery(message.payload);
    const region = this.device.regions[index];
    if (region === undefined) throw invalid(`there is no region ${index}`);
    const fds = region.fd < 0 ? undefined : Int32Array.of(region.fd);
    this.reply(message, encodeRegionInfo(region, argsz), fds);
  }

  /** Throws unless `count` bytes at an offset lie inside of a region. */
  private checkAccess(index: number, offset: number, count: number): void {
    const region = this.device.regions[index];
    if (region === undefined) throw invalid(`there is no region ${index}`);
    if (offset + count > region.size)
      throw invalid(`bytes ${offset} … ${offset + count - 1} of region ${index}, which has ${region.size}`);
  }

  private read(message: Message): void {
    const { offset, region, count } = parseRegionAccess(
      message.payload,
      false,
      this.limits.max_data_xfer_size,
    );
    this.checkAccess(region, offset, count);
    const reply = encodeRegionAccess(offset, region, count, new Uint8Array(count));
    this.device.regionRead(region, offset, reply.subarray(reply.length - count));
    this.reply(message, reply);
  }

  private write(message: Message): void {
    const access = parseRegionAccess(message.payload, true, this.limits.max_data_xfer_size);
    const { offset, region, count, data } = access;
    this.checkAccess(region, offset, count);
    this.device.regionWrite(region, offset, data);
    this.reply(message, encodeRegionAccess(offset, region, count));
  }

  private writeMulti(message: Message): void {
    const writes = parseRegionWriteMulti(message.payload);
    for (const { region, offset, count } of writes) this.checkAccess(region, offset, count);
    for (const { region, offset, data } of writes) this.device.regionWrite(region, offset, data);
    this.reply(message, encodeRegionWriteMultiReply(writes.length));
  }
}
