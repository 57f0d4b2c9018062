/** What each call of the addon takes: how to make a right argument, and which values it must refuse. */
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { types } from 'node:util';
import type { Native } from '../index.ts';

/** One parameter. */
export interface Parameter {
  right(): unknown;
  /** True for a value that must make the call throw, whatever the other arguments are. */
  refuses(value: unknown): boolean;
}

export type Call = readonly Parameter[];

/** Resources of the calls: descriptors that may be closed at any time, and what must live on. */
export class Pool {
  readonly descriptors = new Set<number>();
  readonly handles: number[] = [];
  readonly tables = new Set<unknown>();
  readonly watches = new Set<unknown>();
  readonly rings = new Set<number>();
  /** Every table, watch and AIO context that there ever was, also those no longer picked. */
  readonly everyTable = new WeakSet<object>();
  readonly everyWatch = new WeakSet<object>();
  readonly contexts = new Set<unknown>();
  readonly everyContext = new WeakSet<object>();
  private readonly native: Native;
  private readonly pick: (below: number) => number;

  constructor(native: Native, pick: (below: number) => number) {
    this.native = native;
    this.pick = pick;
  }

  /** The descriptor of new memory of a page, which is the caller's to close. */
  memoryFile(): number {
    return this.native.memoryFile('mapped', 4096);
  }
  map(fd: number): ArrayBuffer {
    return this.native.mapDescriptor(fd, 0, 4096, 1);
  }

  of<T>(values: Iterable<T>): T {
    const all = [...values];
    return all[this.pick(all.length)]!;
  }

  /** Makes what is missing, and closes what became too many. */
  fill(): void {
    const { native, descriptors, rings } = this;
    for (const fd of descriptors) {
      if (descriptors.size < 40 && existsSync(`/proc/self/fd/${fd}`)) continue;
      descriptors.delete(fd);
      rings.delete(fd);
      if (existsSync(`/proc/self/fd/${fd}`)) closeSync(fd);
    }
    const file = openSync('file', 'w+');
    writeSync(file, Buffer.alloc(16_384, 1));
    for (const fd of [file, native.eventFd(), native.memoryFile('hostile', 65_536), ...native.socketPair()])
      descriptors.add(fd);
    this.addTable(native.batchTable());
    const event = native.eventFd();
    native.signalEventFd(event); // so that a watch which is started calls back
    const throws = this.pick(4) === 0;
    this.addWatch(
      native.ringWatch(event, () => {
        if (throws) throw new Error('a callback threw');
      }),
    );
    closeSync(event); // the watch has a descriptor of its own
    // Their end takes the kernel a while: few of them.
    if (this.contexts.size < 2 || this.pick(50) === 0) this.addContext(native.aioSetup(4).context);
    for (const set of [this.tables, this.watches, this.contexts]) if (set.size > 8) set.delete(this.of(set));
    while (this.handles.length < 4) this.handles.push(native.allocateMemory(8192, 0, this.pick(2)));
    if (rings.size === 0) this.addRing(native.ringSetup(4, 8, 0).fd);
  }

  addTable(table: unknown): void {
    this.tables.add(table);
    this.everyTable.add(table as object);
  }

  addWatch(watch: unknown): void {
    this.watches.add(watch);
    this.everyWatch.add(watch as object);
  }

  addContext(context: unknown): void {
    this.contexts.add(context);
    this.everyContext.add(context as object);
  }

  addRing(fd: number): void {
    this.rings.add(fd);
    this.descriptors.add(fd);
  }
}

const integer = (min: number, max: number, right: () => number): Parameter => ({
  right,
  refuses: (value) => !(typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max),
});

function usable(value: unknown): boolean {
  if (types.isProxy(value)) return false;
  if (value instanceof ArrayBuffer) return !isDetached(value);
  return ArrayBuffer.isView(value) && !(value instanceof DataView) && !isDetached(value.buffer);
}

/** Nothing else tells on every version: a detached buffer cannot be viewed. */
function isDetached(buffer: ArrayBufferLike): boolean {
  if (buffer instanceof SharedArrayBuffer) return false;
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

const INT32 = 2 ** 31 - 1;
const UINT32 = 2 ** 32 - 1;
const SAFE = 2 ** 53 - 1;

/** Every exported call by its name: a call that is missing here is one that nobody tests. */
export function addonCalls(pool: Pool, pick: (below: number) => number): Record<string, Call> {
  const fd = integer(0, INT32, () => pool.of(pool.descriptors));
  const ring = integer(0, INT32, () => pool.of(pool.rings));
  const handle = integer(0, 4095, () => pool.of(pool.handles));
  const offset = integer(0, SAFE, () => pick(4) * 4096);
  const length = integer(1, SAFE, () => 1 + pick(8192));
  const port = (least: number): Parameter => integer(least, 65_535, () => (least === 0 ? 0 : 9));
  const backlog = integer(1, 65_535, () => 1 + pick(10));
  const small = (max: number): Parameter => integer(0, max, () => pick(3));
  const bytes: Parameter = {
    right: () => new Uint8Array(64 + pick(2048)),
    refuses: (value) => !usable(value),
  };
  const bytesOrNull: Parameter = {
    right: () => (pick(4) === 0 ? null : new Uint8Array(64 + pick(2048))),
    refuses: (value) => value !== null && !usable(value),
  };
  const filled: Parameter = { ...bytes, refuses: (value) => !usable(value) || byteLength(value) === 0 };
  const text = (max: number, ...right: string[]): Parameter => ({
    right: () => pool.of(right),
    refuses: (value) => typeof value !== 'string' || Buffer.byteLength(value) >= max || value.includes('\0'),
  });
  const address: Parameter = {
    right: () => pool.of(['127.0.0.1', '::1']),
    refuses: (value) => value !== '127.0.0.1' && value !== '::1',
  };
  const path: Parameter = {
    ...text(108, 'socket', 'other'),
    refuses: (value) =>
      typeof value !== 'string' || value === '' || value.length >= 108 || value.includes('\0'),
  };
  const descriptors: Parameter = {
    right: () => Int32Array.from({ length: pick(4) }, () => pool.of(pool.descriptors)),
    refuses: (value) =>
      types.isProxy(value) ||
      !(value instanceof Int32Array) ||
      isDetached(value.buffer) ||
      value.length > 253,
  };
  const table: Parameter = {
    right: () => pool.of(pool.tables),
    refuses: (value) => !pool.everyTable.has(value as object),
  };
  const watch: Parameter = {
    right: () => pool.of(pool.watches),
    refuses: (value) => !pool.everyWatch.has(value as object),
  };
  const context: Parameter = {
    right: () => pool.of(pool.contexts),
    refuses: (value) => !pool.everyContext.has(value as object),
  };
  const everyMapping = new WeakSet<object>();
  const mapped: Parameter = {
    right: () => {
      const file = pool.memoryFile();
      const buffer = pool.map(file);
      closeSync(file);
      everyMapping.add(buffer);
      return buffer;
    },
    refuses: (value) => !everyMapping.has(value as object) || isDetached(value as ArrayBuffer),
  };
  const callback: Parameter = { right: () => () => {}, refuses: (value) => typeof value !== 'function' };
  const operations: Parameter = {
    right: () =>
      Float64Array.from({ length: 8 * (1 + pick(16)) }, () => (pick(3) === 0 ? Math.sin(pick(99)) : pick(9))),
    refuses: (value) => !usable(value),
  };
  const range = [integer(0, SAFE, () => pick(32)), integer(0, SAFE, () => 32 + pick(32))];
  const twoWords: Parameter = {
    right: () => new Uint32Array(2),
    refuses: (value) => !usable(value) || !(value instanceof Uint32Array) || value.length !== 2,
  };
  const option = text(32, 'noDelay', 'quickAck', 'userTimeout_ms', 'sendBuffer', 'receiveBuffer', 'priority');
  return {
    pinThread: [integer(0, 1023, () => 0)],
    allowedCpus: [],
    threadId: [],
    nameThread: [text(16, 'hostile')],
    backendFd: [],
    backendTimeout: [],
    duplicate: [fd],
    closeFd: [integer(3, INT32, () => pool.of(pool.descriptors))],
    lockFile: [fd],
    punchHole: [fd, offset, length],
    unlockFile: [fd],
    allocateFile: [fd, small(INT32), offset, length],
    seekFile: [fd, offset, small(1)],
    directAlignment: [fd],
    eventFd: [],
    signalEventFd: [fd],
    signalForeignEventFd: [fd],
    drainEventFd: [fd],
    adoptEventFd: [fd],
    setDirect: [fd, integer(0, 1, () => pick(2))],
    blockDevice: [fd],
    allocateMemory: [
      integer(1, 2 ** 46, () => 1 + pick(100_000)),
      integer(0, 1, () => pick(2)),
      integer(0, 1, () => pick(2)),
    ],
    attachMemory: [handle],
    memoryAddress: [handle],
    releaseMemory: [handle],
    discardMemory: [handle, integer(0, SAFE, () => pick(4096)), integer(0, SAFE, () => pick(4097))],
    addressOf: [bytes],
    memoryBehind: [bytes],
    memoryFile: [text(64, 'name'), integer(1, 2 ** 46, () => 1 + pick(100_000))],
    sealSize: [fd],
    mapDescriptor: [fd, offset, length, integer(0, 1, () => pick(2))],
    unmapBuffer: [mapped],
    mapLost: [mapped],
    nvmeNamespace: [fd],
    nvmeAdmin: [fd, { ...bytes, right: () => new Uint32Array(18) }, bytes],
    zoneReport: [
      fd,
      integer(0, SAFE, () => pick(9)),
      { ...bytes, right: () => new Uint8Array(new ArrayBuffer(256)) },
    ],
    zoneManage: [
      fd,
      integer(0, 3, () => pick(4)),
      integer(0, SAFE, () => pick(9)),
      integer(1, SAFE, () => 8),
    ],
    ringSetup: [integer(1, 32_768, () => 1 << pick(6)), integer(1, 65_536, () => 64), small(UINT32)],
    ringEnter: [ring, small(UINT32), small(UINT32), small(UINT32), integer(-1, SAFE, () => 1000)],
    ringRegister: [ring, integer(0, UINT32, () => pick(26)), bytesOrNull, small(UINT32)],
    ringWatch: [fd, callback],
    ringWatchStart: [watch],
    ringWatchStop: [watch],
    ringWatchClose: [watch],
    socketListen: [address, port(0), backlog],
    socketConnect: [
      address,
      port(1),
      { right: () => '', refuses: (value) => value !== '' && address.refuses(value) },
    ],
    socketShutdown: [fd, integer(0, 2, () => pick(3))],
    socketOption: [fd, option, small(INT32)],
    socketError: [fd],
    socketAcknowledged: [fd],
    socketPeer: [fd],
    socketName: [fd],
    loadOpensslConfig: [text(4096, 'file')],
    socketPair: [],
    unixListen: [path, backlog],
    unixConnect: [path],
    unixAccept: [fd],
    sendDescriptors: [fd, filled, descriptors],
    receiveDescriptors: [fd, filled],
    probeAio: [],
    aioSetup: [integer(1, 65_536, () => 1 + pick(8))],
    aioSubmit: [
      context,
      bytes,
      { ...bytes, right: () => new Uint32Array(1 + pick(4)) },
      integer(1, 65_536, () => 1),
    ],
    aioDestroy: [context],
    batchTable: [],
    batchRegion: [table, integer(0, 65_535, () => pick(9)), bytesOrNull],
    batchRun: [table, operations, small(SAFE)],
    batchCrc32c: [
      table,
      integer(0, 65_535, () => pick(9)),
      integer(0, SAFE, () => 0),
      small(SAFE),
      small(UINT32),
    ],
    crc32c: [bytes, ...range, small(UINT32)],
    crc32cPaths: [],
    crc16T10dif: [bytes, ...range, integer(0, 65_535, () => pick(65_536))],
    crc64Nvme: [twoWords, bytes, ...range],
    crc32cBy: [text(16, 'table', 'instruction', 'none'), bytes, ...range, small(UINT32)],
  };
}

const byteLength = (value: unknown): number => (value as ArrayBuffer | ArrayBufferView).byteLength;
