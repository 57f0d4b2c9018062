import { constants } from 'node:os';
import type { Native } from '@spdk-ts/native';
import { Channel, channelLimits, type Message, requireNative } from './channel.ts';
import type { Descriptors } from './descriptors.ts';
import {
  type Area,
  type DeviceInfo,
  encodeDeviceInfoQuery,
  encodeRegionInfoQuery,
  parseDeviceInfo,
  parseRegionInfo,
  type RegionInfo,
} from './device-info.ts';
import { encodeDmaMap, encodeDmaUnmap } from './dma.ts';
import { Errno, VfioUserError } from './errors.ts';
import { viewOf } from './fields.ts';
import { encodeCommand, encodeErrorReply } from './header.ts';
import { encodeIrqInfoQuery, encodeIrqSet, type IrqInfo, parseIrqInfo } from './irqs.ts';
import {
  Command,
  commandName,
  DmaMapFlag,
  HeaderFlag,
  IrqAction,
  IrqData,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  RegionFlag,
} from './protocol.ts';
import { encodeRegionAccess, parseRegionAccess } from './region-access.ts';
import { type Capabilities, commonVersion, encodeVersion, parseVersion } from './version.ts';

/** Why a connection has ended: a server that dies with messages unread resets it. */
function endOf(error: Error | null): Error {
  const { ECONNRESET, EPIPE } = constants.errno;
  const code = Number((error as { code?: unknown } | null)?.code ?? ECONNRESET);
  const closed = code === ECONNRESET || code === EPIPE;
  return closed ? new Error('the server has closed the connection') : error!;
}

/** What this side takes. */
const MAX_DATA_BYTES = 1_048_576;
const MAX_FDS = 8;
/** Ids of commands that wait for a reply; doorbells and the like, which do not, have the next one. */
const IDS = 0xffff;
export const UNANSWERED_ID = IDS;

interface Call {
  readonly command: number;
  readonly resolve: (reply: Message) => void;
  readonly reject: (error: Error) => void;
}

/** A region, and what of it can be mapped: a descriptor that is the caller's to close, or -1. */
export interface ClientRegion extends RegionInfo {
  readonly descriptor: number;
  readonly mappable: readonly Area[];
}

/**
 * The client's end of a vfio-user connection. Calls are promises, which reject with a {@link VfioUserError} if the server refuses, and with
 * what ended the connection if it ends. Nothing here knows time: who is tired of waiting ends the connection with {@link close}.
 */
export class VfioUserClient {
  /** Told, once, when the server has ended the connection, or broken a rule of the protocol. Not after {@link close}. */
  onClosed: ((error: Error) => void) | null = null;
  capabilities: Capabilities | null = null;
  private readonly addon: Native;
  private readonly channel: Channel;
  private readonly watch: unknown;
  private readonly calls = new Map<number, Call>();
  private nextId = 0;

  /** Connects to the socket of this path. Throws an Error with the system's reason. */
  static connect(path: string): VfioUserClient {
    return new VfioUserClient(requireNative().unixConnect(path));
  }

  /** Takes a connected UNIX stream socket, which is then the client's. */
  constructor(fd: number) {
    this.addon = requireNative();
    const handler = {
      message: (message: Message) => this.take(message),
      closed: (error: Error | null) => this.ended(endOf(error)),
    };
    this.channel = new Channel(fd, handler, channelLimits(MAX_DATA_BYTES, MAX_FDS));
    this.watch = this.addon.ringWatch(fd, () => this.receive());
    this.addon.ringWatchStart(this.watch);
  }

  /** The socket, for who copies it to send commands without a reply from another thread, whole ones below a page. */
  get fd(): number {
    return this.channel.fd;
  }
  get isOpen(): boolean {
    return this.channel.isOpen;
  }
  /** Commands that wait for a reply. */
  get pending(): number {
    return this.calls.size;
  }

  private receive(): void {
    this.channel.receive();
    if (this.channel.isOpen) this.addon.ringWatchStart(this.watch);
  }

  private take(message: Message): void {
    if ((message.flags & HeaderFlag.typeMask) === HeaderFlag.command) {
      // Memory is given with descriptors only: there is nothing to read or write over the socket.
      if ((message.flags & HeaderFlag.noReply) === 0)
        this.channel.send(encodeErrorReply(message.id, message.command, Errno.EOPNOTSUPP));
      return;
    }
    const call = this.calls.get(message.id);
    if (call === undefined || call.command !== message.command) {
      if (message.id === UNANSWERED_ID) return; // a server that answers what wants no answer
      throw new VfioUserError(
        Errno.EPROTO,
        `a reply to ${commandName(message.command)} ${message.id}, which was not sent`,
        true,
      );
    }
    this.calls.delete(message.id);
    if ((message.flags & HeaderFlag.error) !== 0) {
      const error = new VfioUserError(message.error, '');
      error.message = `the server refuses ${commandName(message.command)} (${error.code})`;
      call.reject(error);
    } else this.answer(call, message);
  }

  /** Handles the reply before the channel takes its bytes and descriptors back. */
  private answer(call: Call, message: Message): void {
    try {
      call.resolve(message);
    } catch (error) {
      call.reject(error as Error);
    }
  }

  /** Sends a command. `parse` reads the reply: bytes and descriptors are its only until it returns. */
  private call<T>(
    command: number,
    payload: Uint8Array,
    parse: (payload: Uint8Array, descriptors: Descriptors) => T,
    descriptors?: Int32Array,
  ): Promise<T> {
    if (!this.channel.isOpen) return Promise.reject(new Error('the connection has been closed'));
    if (this.calls.size === IDS) return Promise.reject(new Error(`${IDS} commands wait for their replies`));
    while (this.calls.has(this.nextId)) this.nextId = (this.nextId + 1) % IDS;
    const id = this.nextId;
    this.nextId = (id + 1) % IDS;
    return new Promise((resolve, reject) => {
      const take = ({ payload: reply, descriptors: got }: Message): void => resolve(parse(reply, got));
      this.calls.set(id, { command, resolve: take, reject });
      this.channel.send(encodeCommand(id, command, payload), descriptors);
    });
  }

  /** The first command: agrees on a version. */
  async negotiate(): Promise<Capabilities> {
    const ours = { max_msg_fds: MAX_FDS, max_data_xfer_size: MAX_DATA_BYTES, pgsizes: 4096 };
    const payload = encodeVersion(PROTOCOL_MAJOR, PROTOCOL_MINOR, ours);
    const theirs = await this.call(Command.version, payload, parseVersion);
    commonVersion(theirs, PROTOCOL_MINOR);
    this.capabilities = theirs.capabilities;
    return theirs.capabilities;
  }

  deviceInfo(): Promise<DeviceInfo> {
    return this.call(Command.deviceGetInfo, encodeDeviceInfoQuery(), parseDeviceInfo);
  }

  /** What a region is, with the descriptor to map it by. */
  async region(index: number): Promise<ClientRegion> {
    const parse = (payload: Uint8Array, descriptors: Descriptors) => {
      const info = parseRegionInfo(payload);
      return { info, descriptor: info.needed > payload.length ? -1 : descriptors.take(0) };
    };
    const command = Command.deviceGetRegionInfo;
    let { info, descriptor } = await this.call(command, encodeRegionInfoQuery(index), parse);
    if (info.needed > 32 && descriptor < 0)
      ({ info, descriptor } = await this.call(command, encodeRegionInfoQuery(index, info.needed), parse));
    const whole = info.areas.length === 0 ? [{ offset: 0, size: info.size }] : info.areas;
    const mappable = descriptor >= 0 && (info.flags & RegionFlag.mmap) !== 0 ? whole : [];
    return { ...info, descriptor, mappable };
  }

  irqs(index: number): Promise<IrqInfo> {
    return this.call(Command.deviceGetIrqInfo, encodeIrqInfoQuery(index), parseIrqInfo);
  }

  /** Lets an interrupt signal an eventfd from now on. */
  setIrq(index: number, start: number, eventfd: number): Promise<void> {
    const set = encodeIrqSet({ data: IrqData.eventfd, action: IrqAction.trigger, index, start, count: 1 });
    return this.call(Command.deviceSetIrqs, set, () => {}, Int32Array.of(eventfd));
  }

  /** Reads 1, 2, 4 or 8 bytes, or more, of a region. */
  readRegion(region: number, offset: number, count: number): Promise<Uint8Array> {
    return this.call(Command.regionRead, encodeRegionAccess(offset, region, count), (payload) => {
      const { data } = parseRegionAccess(payload, true, MAX_DATA_BYTES);
      if (data.length !== count)
        throw new VfioUserError(Errno.EPROTO, `${data.length} bytes were read instead of ${count}`);
      return data.slice();
    });
  }

  writeRegion(region: number, offset: number, data: Uint8Array): Promise<void> {
    return this.call(Command.regionWrite, encodeRegionAccess(offset, region, data.length, data), () => {});
  }

  /** Gives the server memory, by its descriptor (which stays the caller's): it reads and writes there at `address`. */
  mapDma(address: number, size: number, descriptor: number, offset: number): Promise<void> {
    const map = encodeDmaMap({ flags: DmaMapFlag.readable | DmaMapFlag.writeable, offset, address, size });
    return this.call(Command.dmaMap, map, () => {}, Int32Array.of(descriptor));
  }

  /** Takes it away: when this resolves, the server touches it no more. */
  unmapDma(address: number, size: number): Promise<void> {
    return this.call(Command.dmaUnmap, encodeDmaUnmap({ flags: 0, address, size }), () => {});
  }

  reset(): Promise<void> {
    return this.call(Command.deviceReset, new Uint8Array(0), () => {});
  }

  /** Ends the connection; what waits for a reply is rejected. */
  close(error: Error = new Error('the connection has been closed')): void {
    if (!this.channel.isOpen) return;
    this.channel.close();
    this.end(error);
  }

  private ended(error: Error): void {
    this.end(error);
    this.onClosed?.(error);
  }

  private end(error: Error): void {
    // It has a copy of the socket, and the server is to see that the connection has ended.
    this.addon.ringWatchClose(this.watch);
    const calls = [...this.calls.values()];
    this.calls.clear();
    for (const { reject } of calls) reject(error);
  }
}

/** Where the parts of a {@link postedWrite} lie that change. */
const WRITE_OFFSET = 16;
const WRITE_DATA = 32;

/** A write of four bytes to a region that wants no reply: to be sent, and filled in anew by {@link fillPostedWrite}. */
export function postedWrite(region: number): Uint8Array {
  const access = encodeRegionAccess(0, region, 4, new Uint8Array(4));
  return encodeCommand(UNANSWERED_ID, Command.regionWrite, access, true);
}

/** Says where it goes (below 2^32), and what is written. */
export function fillPostedWrite(view: DataView, offset: number, value: number): void {
  view.setUint32(WRITE_OFFSET, offset, true);
  view.setUint32(WRITE_DATA, value, true);
}

/** A view for {@link fillPostedWrite}. */
export const postedWriteView = viewOf;
