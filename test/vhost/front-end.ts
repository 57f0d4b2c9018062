/**
 * A small vhost-user front-end with a block driver behind it: what QEMU and its guest are to the target, but as correct or as
 * hostile as a test wants.
 */
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '@spdk-ts/native';
import { GUEST_BASE, GuestRam, USER_BASE } from './guest-ram.ts';
import { type Driver, PackedDriver, type Buffer as Piece, SplitDriver, type Used } from './rings.ts';

/** Requests of the protocol. */
export const Req = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  SET_MEM_TABLE: 5,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  GET_INFLIGHT_FD: 31,
  SET_INFLIGHT_FD: 32,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
} as const;

export const bit = (...numbers: number[]): bigint => numbers.reduce((all, n) => all | (1n << BigInt(n)), 0n);
export const F = { EVENT_IDX: 29, INDIRECT: 28, PROTOCOL: 30, VERSION_1: 32, PACKED: 34, RO: 5, FLUSH: 9 };
/** MQ, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT_SHMFD, RESET_DEVICE, CONFIGURE_MEM_SLOTS */
export const PROTOCOL_FEATURES = bit(0, 3, 5, 9, 12, 13, 15);

export const Status = { OK: 0, IOERR: 1, UNSUPP: 2 };
export const Type = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 };

export function u64(...values: (bigint | number)[]): Uint8Array {
  const bytes = new Uint8Array(8 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    view.setBigUint64(8 * i, BigInt(value), true);
  });
  return bytes;
}
export function u32(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

export interface Answer {
  request: number;
  flags: number;
  payload: Uint8Array;
  view: DataView;
  descriptors: number[];
}

const none = new Uint8Array(0);

/** Resolves once `probe` gives something other than undefined. Rejects after so many seconds. */
export async function until<T>(what: string, probe: () => T | undefined, seconds = 10): Promise<T> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const value = probe();
    if (value !== undefined) return value;
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await sleep(1);
  }
}

/** The socket of a front-end. */
export class Socket {
  readonly fd: number;
  private open = true;

  constructor(path: string) {
    this.fd = native!.unixConnect(path);
  }

  sendRaw(bytes: Uint8Array, descriptors: number[] = []): void {
    native!.sendDescriptors(this.fd, bytes, Int32Array.from(descriptors));
  }

  send(request: number, payload = none, descriptors: number[] = [], flags = 0): void {
    const bytes = new Uint8Array(12 + payload.length);
    bytes.set(u32(request, 1 | flags, payload.length));
    bytes.set(payload, 12);
    this.sendRaw(bytes, descriptors);
  }

  /** The next answer, or null if the target has ended the connection. */
  async receive(seconds = 10): Promise<Answer | null> {
    const bytes = new Uint8Array(4096);
    const descriptors: number[] = [];
    let filled = 0;
    return await until(
      'an answer',
      () => {
        const size = filled < 12 ? 12 : 12 + new DataView(bytes.buffer).getUint32(8, true);
        const got = this.receiveSome(bytes.subarray(filled, size));
        if (got === null) return undefined;
        descriptors.push(...got.descriptors);
        if (got.bytes === 0) return null;
        filled += got.bytes;
        const view = new DataView(bytes.buffer);
        if (filled < 12 || filled < 12 + view.getUint32(8, true)) return undefined;
        const payload = bytes.slice(12, filled);
        return {
          request: view.getUint32(0, true),
          flags: view.getUint32(4, true),
          payload,
          view: new DataView(payload.buffer),
          descriptors,
        };
      },
      seconds,
    );
  }

  private receiveSome(into: Uint8Array): { bytes: number; descriptors: number[] } | null {
    try {
      return native!.receiveDescriptors(this.fd, into);
    } catch (error) {
      // What was sent after the other end has closed.
      if (/reset/i.test((error as Error).message)) return { bytes: 0, descriptors: [] };
      throw error;
    }
  }

  async ask(request: number, payload = none, descriptors: number[] = [], flags = 0): Promise<Answer> {
    this.send(request, payload, descriptors, flags);
    const answer = await this.receive();
    if (answer === null) throw new Error(`the connection ended at request ${request}`);
    return answer;
  }

  /** A request with NEED_REPLY: the number that it is answered with, 0 for success. */
  async ack(request: number, payload = none, descriptors: number[] = []): Promise<number> {
    return Number((await this.ask(request, payload, descriptors, 8)).view.getBigUint64(0, true));
  }

  /** True once the target has ended the connection. */
  async ended(): Promise<boolean> {
    return (await this.receive()) === null;
  }

  close(): void {
    if (this.open) closeSync(this.fd);
    this.open = false;
  }
}

/** A ring as the front-end has it set up. */
export interface Ring {
  readonly index: number;
  readonly driver: Driver;
  readonly kick: number;
  readonly call: number;
  readonly err: number;
}

export interface FrontEndOptions {
  readonly packed?: boolean;
  readonly queues?: number;
  readonly size?: number;
  /** Feature bits beside VERSION_1, RING_INDIRECT_DESC and PROTOCOL_FEATURES. */
  readonly features?: readonly number[];
  readonly ram?: GuestRam;
  readonly inflight?: boolean;
}

/** A request that the driver has made. */
export interface Made {
  readonly ring: Ring;
  readonly id: number;
  readonly data: number;
  readonly bytes: number;
  readonly status: number;
}

/** A front-end that behaves. */
export class FrontEnd {
  readonly socket: Socket;
  readonly ram: GuestRam;
  readonly rings: Ring[] = [];
  readonly options: FrontEndOptions;
  /** The in-flight area's descriptor and description, once there is one. */
  inflight: { fd: number; payload: Uint8Array } | null = null;
  features = 0n;
  private readonly done = new Map<string, number>();

  private constructor(socket: Socket, options: FrontEndOptions) {
    this.socket = socket;
    this.options = options;
    this.ram = options.ram ?? new GuestRam();
  }

  /** Connects, negotiates, lends its memory and starts its rings. */
  static async start(path: string, options: FrontEndOptions = {}): Promise<FrontEnd> {
    const frontEnd = new FrontEnd(new Socket(path), options);
    await frontEnd.negotiate();
    if (options.inflight) await frontEnd.getInflight();
    for (let index = 0; index < (options.queues ?? 1); index++) await frontEnd.startRing(index);
    return frontEnd;
  }

  /** Comes back after the target was away, with the rings and the in-flight area as they are. */
  async reconnect(path: string): Promise<void> {
    this.socket.close();
    Object.assign(this, { socket: new Socket(path) });
    await this.negotiate();
    if (this.inflight !== null)
      await this.expectAck(Req.SET_INFLIGHT_FD, this.inflight.payload, [this.inflight.fd]);
    for (const ring of this.rings) await this.setUp(ring, this.baseOf(ring));
  }

  /** What QEMU takes for the base when the target has died: the used ring's index. */
  private baseOf({ driver }: Ring): number {
    return this.options.packed ? 0x8000_8000 : this.ram.view.getUint16(driver.place.used + 2, true);
  }

  async negotiate(): Promise<void> {
    const { socket, options } = this;
    const offered = (await socket.ask(Req.GET_FEATURES)).view.getBigUint64(0, true);
    const wanted = bit(F.VERSION_1, F.INDIRECT, F.PROTOCOL, ...(options.features ?? []));
    this.features = wanted | (options.packed ? bit(F.PACKED) : 0n);
    if ((this.features & ~offered) !== 0n) throw new Error(`offered are ${offered.toString(16)} only`);
    socket.send(Req.SET_PROTOCOL_FEATURES, u64(PROTOCOL_FEATURES));
    await this.expectAck(Req.SET_OWNER);
    await this.expectAck(Req.SET_FEATURES, u64(this.features));
    await this.expectAck(Req.SET_MEM_TABLE, this.table(), [this.ram.fd]);
  }

  /** The payload of a SET_MEM_TABLE: all of its memory, or a part. */
  table(size = this.ram.size): Uint8Array {
    return new Uint8Array([...u32(1, 0), ...u64(GUEST_BASE, size, USER_BASE, 0)]);
  }

  async expectAck(request: number, payload = none, descriptors: number[] = []): Promise<void> {
    const result = await this.socket.ack(request, payload, descriptors);
    if (result !== 0) throw new Error(`request ${request} was refused`);
  }

  async getInflight(): Promise<void> {
    const payload = new Uint8Array([...u64(0, 0), ...new Uint8Array(8)]);
    const view = new DataView(payload.buffer);
    view.setUint16(16, this.options.queues ?? 1, true);
    view.setUint16(18, this.options.size ?? 64, true);
    const answer = await this.socket.ask(Req.GET_INFLIGHT_FD, payload);
    this.inflight = { fd: answer.descriptors[0]!, payload: answer.payload };
  }

  async startRing(index: number): Promise<Ring> {
    const { packed, size = 64 } = this.options;
    const driver = packed ? new PackedDriver(this.ram, size) : new SplitDriver(this.ram, size);
    const [kick, call, err] = [native!.eventFd(), native!.eventFd(), native!.eventFd()];
    const ring = { index, driver, kick, call, err };
    this.rings[index] = ring;
    await this.setUp(ring, packed ? 0x8000_8000 : 0);
    return ring;
  }

  async setUp({ index, driver, kick, call, err }: Ring, base: number): Promise<void> {
    await this.expectAck(Req.SET_VRING_NUM, u32(index, driver.size));
    await this.expectAck(Req.SET_VRING_BASE, u32(index, base));
    await this.expectAck(Req.SET_VRING_ADDR, this.addresses(index, driver.place));
    await this.expectAck(Req.SET_VRING_ERR, u64(index), [err]);
    await this.expectAck(Req.SET_VRING_CALL, u64(index), [call]);
    await this.expectAck(Req.SET_VRING_KICK, u64(index), [kick]);
    await this.expectAck(Req.SET_VRING_ENABLE, u32(index, 1));
  }

  addresses(index: number, { descriptor, available, used }: Driver['place']): Uint8Array {
    const { ram } = this;
    const places = [ram.userAddress(descriptor), ram.userAddress(used), ram.userAddress(available), 0];
    return new Uint8Array([...u32(index, 0), ...u64(...places)]);
  }

  async getBase(index: number): Promise<number> {
    return (await this.socket.ask(Req.GET_VRING_BASE, u32(index, 0))).view.getUint32(4, true);
  }

  // --- the block driver ---

  /** Writes a request's header. Returns the buffer. */
  header(type: number, sector: number): Piece {
    const at = this.ram.allocate(16);
    this.ram.view.setUint32(at, type, true);
    this.ram.setU64(at + 8, sector);
    return { address: this.ram.address(at), length: 16, write: false };
  }

  /** Makes a request: `data` are written by the device if `write`. */
  submit(
    type: number,
    sector: number,
    data: Uint8Array | number,
    { ring = this.rings[0]!, indirect = true, pieces = 1 } = {},
  ): Made {
    const { ram } = this;
    const bytes = typeof data === 'number' ? data : data.length;
    const at = bytes > 0 ? ram.allocate(bytes) : 0;
    if (typeof data !== 'number') ram.bytes.set(data, at);
    const status = ram.allocate(1, 1);
    ram.bytes[status] = 0xff;
    const step = Math.ceil(bytes / pieces / 512) * 512 || 1;
    const parts: Piece[] = [];
    for (let done = 0; done < bytes; done += step)
      parts.push({
        address: ram.address(at + done),
        length: Math.min(step, bytes - done),
        write: typeof data === 'number',
      });
    const chain = [
      this.header(type, sector),
      ...parts,
      { address: ram.address(status), length: 1, write: true },
    ];
    const id = ring.driver.push(chain, indirect);
    this.kick(ring);
    return { ring, id, data: at, bytes, status };
  }

  kick({ driver, kick }: Ring): void {
    if (driver.wantsKick) native!.signalEventFd(kick);
  }

  /** Used entries of a ring, kept until somebody asks for them. */
  private look({ index, driver }: Ring): void {
    for (const { id, length } of driver.take()) this.done.set(`${index}/${id}`, length);
  }

  /** The length that a chain came back with. */
  async used(ring: Ring, id: number): Promise<Used> {
    const key = `${ring.index}/${id}`;
    const length = await until(`chain ${id} of ring ${ring.index} comes back`, () => {
      this.look(ring);
      return this.done.get(key);
    });
    this.done.delete(key);
    return { id, length };
  }

  /** How a request ended: status, the device's data, and bytes written as the ring has it. */
  async finished(made: Made): Promise<{ status: number; data: Uint8Array; length: number }> {
    const { length } = await this.used(made.ring, made.id);
    const { bytes } = this.ram;
    return {
      status: bytes[made.status]!,
      data: bytes.slice(made.data, made.data + made.bytes),
      length,
    };
  }

  async io(
    type: number,
    sector: number,
    data: Uint8Array | number,
    how: { ring?: Ring; indirect?: boolean; pieces?: number } = {},
  ): Promise<{ status: number; data: Uint8Array; length: number }> {
    const mark = this.ram.mark;
    const result = await this.finished(this.submit(type, sector, data, how));
    this.ram.release(mark);
    return result;
  }

  /** The configuration space. */
  async config(bytes = 60): Promise<DataView> {
    const payload = new Uint8Array(12 + bytes);
    payload.set(u32(0, bytes, 0));
    const { payload: answer } = await this.socket.ask(Req.GET_CONFIG, payload);
    return new DataView(answer.buffer, 12);
  }

  close(): void {
    this.socket.close();
    for (const { kick, call, err } of this.rings) for (const fd of [kick, call, err]) closeSync(fd);
    if (this.inflight !== null) closeSync(this.inflight.fd);
    if (this.options.ram === undefined) this.ram.close();
  }
}
