/** Stand-ins for what surrounds a TCP queue pair: for its tests only. */
import { BufferPool, type BufferPoolOptions, ManualClock, RegionTable } from '@spdk-ts/env';
import type { Reactor } from '@spdk-ts/reactor';
import type { AcceptedSock, Sock, SockAcceptor, SockGroup, SockListener, SockOwner } from '@spdk-ts/sock';
import { defaultLimits, type Limits, SharedCounts } from '../src/limits.ts';
import { MemoryQueue } from '../src/memory-queue.ts';
import type { NvmfPollGroup } from '../src/poll-group.ts';
import type { NvmfQpair } from '../src/qpair.ts';
import type { NvmfRequest } from '../src/request.ts';
import type { TransportOptions } from '../src/transport.ts';

export const fakeOptions: TransportOptions = {
  trtype: 'TCP',
  max_queue_depth: 8,
  max_io_qpairs_per_ctrlr: 4,
  in_capsule_data_size: 4096,
  max_io_size: 131072,
  max_aq_depth: 8,
  c2h_success: true,
  sock_priority: 0,
  abort_timeout_sec: 1,
  ack_timeout: 0,
  kas: 100,
  min_kato: 10_000,
  extra: {},
};

const address = { adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: '4420' } as const;

/** A socket whose peer is the test. */
export class FakeSock implements Sock {
  readonly id = 1;
  owner: SockOwner;
  ownerIndex = 0;
  readonly local = address;
  readonly peer = { ...address, trsvcid: '50000' };
  readonly rx: Uint8Array;
  readonly rxRegion: number;
  readonly rxOffset = 0;
  rxStart = 0;
  rxEnd = 0;
  rxLimit = 0;
  holds = 0;
  directLeft = 0;
  txQueued = 0;
  txDone = 0;
  closed = false;
  closedWithFlush: boolean | null = null;
  /** Pieces handed to send, copied when `flush` "sends" them. */
  pieces: { bytes: Uint8Array; start: number; end: number }[] = [];
  private regions: RegionTable;
  private direct = { region: 0, offset: 0 };
  private backlog: Uint8Array = new Uint8Array(0);

  constructor(regions: RegionTable, owner: SockOwner, receive_bytes = 64 * 1024) {
    this.regions = regions;
    this.owner = owner;
    this.rx = new Uint8Array(receive_bytes);
    this.rxRegion = regions.addLocal(this.rx).id;
  }

  /** Bytes arrive. Small `step`s tear them as a network may. */
  feed(bytes: Uint8Array, step = bytes.length): void {
    for (let at = 0; at < bytes.length; at += step) {
      const chunk = bytes.subarray(at, at + step);
      const all = new Uint8Array(this.backlog.length + chunk.length);
      all.set(this.backlog);
      all.set(chunk, this.backlog.length);
      this.backlog = all;
      this.fill();
      let left = -1;
      while (!this.closed && left !== this.unread) {
        left = this.unread;
        this.owner.sockReadable(this);
      }
    }
  }

  /** Bytes that have arrived and are not consumed. */
  private get unread(): number {
    return this.backlog.length + this.rxEnd - this.rxStart;
  }

  private fill(): void {
    const direct = Math.min(this.directLeft, this.backlog.length);
    this.regions.bytes(this.direct.region).set(this.backlog.subarray(0, direct), this.direct.offset);
    this.direct.offset += direct;
    this.directLeft -= direct;
    this.backlog = this.backlog.subarray(direct);
    if (this.rxStart > 0 && this.holds === 0) {
      this.rx.copyWithin(0, this.rxStart, this.rxEnd);
      this.rxEnd -= this.rxStart;
      this.rxStart = 0;
    }
    const room = Math.min(this.rx.length - this.rxEnd, this.backlog.length);
    this.rx.set(this.backlog.subarray(0, room), this.rxEnd);
    this.rxEnd += room;
    this.backlog = this.backlog.subarray(room);
  }

  consume(length: number): void {
    if (length > this.rxEnd - this.rxStart) throw new RangeError('consumed too much');
    this.rxStart += length;
    this.fill();
  }
  rxStalled = false;
  get txProgress(): number {
    return this.txDone;
  }
  holdReceived(): void {
    this.holds++;
  }
  releaseReceived(): void {
    if (--this.holds < 0) throw new RangeError('released more often than held');
    this.fill();
  }
  receiveInto(region: number, offset: number, length: number): void {
    if (this.directLeft > 0) throw new Error('a direct receive is under way');
    if (!this.regions.contains(region, offset, length) || length === 0) throw new RangeError('bad place');
    const have = Math.min(length, this.rxEnd - this.rxStart);
    this.regions.bytes(region).set(this.rx.subarray(this.rxStart, this.rxStart + have), offset);
    this.direct = { region, offset: offset + have };
    this.directLeft = length - have;
    this.consume(have);
  }
  send(region: number, offset: number, length: number): void {
    this.sendBytes(this.regions.bytes(region), offset, offset + length);
  }
  sendBytes(bytes: Uint8Array, start: number, end: number): void {
    if (start < 0 || end > bytes.length || start >= end) throw new RangeError('bad piece');
    this.pieces.push({ bytes, start, end });
    this.txQueued += end - start;
  }
  /** Everything queued, as bytes; with `done` it has left, and the owner is told. */
  take(done = true): Uint8Array {
    const out = Buffer.concat(this.pieces.map(({ bytes, start, end }) => bytes.subarray(start, end)));
    if (done) {
      this.pieces = [];
      this.txDone = this.txQueued;
      this.owner.sockSent(this);
    }
    return new Uint8Array(out);
  }
  pauseReceive(): void {}
  resumeReceive(): void {}
  close(flush = false): void {
    if (this.closed) return;
    this.closed = true;
    this.closedWithFlush = flush;
  }
  /** The connection is over. */
  end(): void {
    this.closed = true;
    this.owner.sockClosed(this, '');
  }
}

/** A group of fake sockets: connections are made by the test. */
export class FakeSocks implements SockGroup {
  readonly implementation = 'fake';
  canDetach = true;
  acceptor: SockAcceptor | null = null;
  readonly socks: FakeSock[] = [];
  readonly closedFds: number[] = [];
  private readonly regions: RegionTable;

  constructor(regions: RegionTable) {
    this.regions = regions;
  }
  poll(): number {
    return 0;
  }
  flush(): number {
    return 0;
  }
  async listen(traddr: string, trsvcid: number, acceptor: SockAcceptor): Promise<SockListener> {
    this.acceptor = acceptor;
    return { address: { ...address, traddr, trsvcid: String(trsvcid) }, close: async () => {} };
  }
  /** A host connects. `fd` is what detach gives. */
  connectFrom(fd: number): void {
    const accepted: AcceptedSock = {
      local: address,
      peer: address,
      attach: (owner) => this.make(owner),
      detach: () => fd,
      close: () => void this.closedFds.push(fd),
    };
    this.acceptor!.sockAccepted(accepted);
  }
  private make(owner: SockOwner): FakeSock {
    const sock = new FakeSock(this.regions, owner);
    this.socks.push(sock);
    return sock;
  }
  connect(): Sock {
    throw new Error('not here');
  }
  adopt(_fd: number, owner: SockOwner): Sock {
    return this.make(owner);
  }
  get size(): number {
    return this.socks.length;
  }
  async destroy(): Promise<void> {}
}

const poolOptions: BufferPoolOptions = {
  small_count: 4,
  small_bytes: 8192,
  large_count: 4,
  large_bytes: 132 * 1024,
};

/** A poll group that executes nothing: the test completes what it was given. */
export class FakeGroup {
  readonly reactor: Reactor;
  readonly thread: { registerPoller: (name: string, fn: () => number) => { unregister(): void } };
  readonly regions = new RegionTable();
  readonly clock = new ManualClock();
  readonly memory: MemoryQueue;
  readonly buffers: BufferPool;
  readonly executed: NvmfRequest[] = [];
  readonly messages: { to: number; kind: number; values: number[] }[] = [];
  readonly pollers = new Map<string, () => number>();
  /** No bdev lends places. */
  readonly placedWrites = { begin: () => false };
  target: { limits: Limits; serving: number[] };
  readonly counts = new SharedCounts(SharedCounts.allocate());
  closing: NvmfQpair[] = [];
  removed: NvmfQpair[] = [];
  added: NvmfQpair[] = [];
  private ids = 0;

  constructor(index = 0, count = 1) {
    this.target = { limits: defaultLimits, serving: Array.from({ length: count }, (_, i) => i) };
    const bytes = new Uint8Array(BufferPool.size(poolOptions));
    this.regions.add(0, bytes);
    this.buffers = new BufferPool(0, bytes, poolOptions);
    this.memory = new MemoryQueue(this.buffers);
    this.reactor = {
      index,
      count,
      now: 0,
      regions: this.regions,
      buffers: this.buffers,
      onMessage: () => {},
      sendMessage: (to: number, kind: number, ...values: number[]) =>
        this.messages.push({ to, kind, values }),
    } as unknown as Reactor;
    this.thread = {
      registerPoller: (name, fn) => {
        this.pollers.set(name, fn);
        return { unregister: () => this.pollers.delete(name) };
      },
    };
  }
  get asGroup(): NvmfPollGroup {
    return this as unknown as NvmfPollGroup;
  }
  nextQpairId(): number {
    return ++this.ids;
  }
  addQpair(qpair: NvmfQpair): void {
    this.added.push(qpair);
  }
  qpairClosing(qpair: NvmfQpair): void {
    qpair.disconnecting = true;
    this.closing.push(qpair);
  }
  removeQpair(qpair: NvmfQpair): void {
    this.removed.push(qpair);
  }
  classify(request: NvmfRequest): void {
    request.transfer = (request.opcode === 0x7f ? request.nsid : request.opcode) & 3;
  }
  execute(request: NvmfRequest): void {
    request.executing = true;
    request.qpair.outstanding++;
    if (request.qpair.sqSize > 0) request.qpair.sqhd = (request.qpair.sqhd + 1) % request.qpair.sqSize;
    this.executed.push(request);
  }
  endCommand(request: NvmfRequest, status: number): void {
    this.execute(request);
    this.complete(request, status);
  }
  /** Ends an executing request. */
  complete(request: NvmfRequest, status = 0): void {
    this.executed.splice(this.executed.indexOf(request), 1);
    request.status = status;
    request.executing = false;
    request.qpair.outstanding--;
    request.qpair.sendCompletion(request);
  }
  allocate(request: NvmfRequest, length: number, retry: (request: NvmfRequest) => void): boolean {
    return this.memory.allocate(request, length, retry);
  }
  releaseRequest(request: NvmfRequest): void {
    this.memory.release(request);
    request.region = -1;
  }
}
