/**
 * The native addon, where it could be built and loaded: a handful of system calls that Node.js has no name
 * for. Everything works without it, more slowly; {@link nativeUnavailable} then says why it is absent.
 */
import { loadAddon } from './load-addon.ts';

/** A ring as io_uring_setup made it: mapped memory, and where its fields are in it (bytes). */
export interface RingMemory {
  readonly fd: number;
  readonly features: number;
  readonly rings: ArrayBuffer;
  readonly sqes: ArrayBuffer;
  readonly sqEntries: number;
  readonly cqEntries: number;
  readonly sqHead: number;
  readonly sqTail: number;
  readonly sqFlags: number;
  readonly sqDropped: number;
  readonly sqArray: number;
  readonly cqHead: number;
  readonly cqTail: number;
  readonly cqOverflow: number;
  readonly cqFlags: number;
  readonly cqes: number;
}

/** Options of {@link Native.socketOption}. */
export type SocketOption =
  | 'noDelay'
  | 'quickAck'
  | 'userTimeout_ms'
  | 'sendBuffer'
  | 'receiveBuffer'
  | 'priority'
  | 'busyPoll_us';

/**
 * The addon's calls. Each throws a RangeError or TypeError for a wrong argument, and an Error whose `code` is the
 * errno, as text, for a failed system call.
 */
export interface Native {
  /** Binds the calling thread to one CPU (sched_setaffinity). */
  pinThread(cpu: number): void;
  /** The CPUs that the calling thread may run on. */
  allowedCpus(): number[];
  /** The kernel's id of the calling thread (gettid). */
  threadId(): number;
  /** What ps and top show for the calling thread, 15 bytes at most. */
  nameThread(name: string): void;
  /** The descriptor that is readable when the thread's event loop has something to do. */
  backendFd(): number;
  /** How long the thread's event loop may sleep, ms: -1 without limit. */
  backendTimeout(): number;

  /** A second descriptor of the same open file or socket (F_DUPFD_CLOEXEC). */
  duplicate(fd: number): number;
  closeFd(fd: number): void;
  /** flock(LOCK_EX | LOCK_NB): false if another process holds the lock. */
  lockFile(fd: number): boolean;
  /** fallocate(PUNCH_HOLE | KEEP_SIZE): offset and length in bytes. */
  punchHole(fd: number, offset: number, length: number): void;
  /** An eventfd: a counter that is readable when it is not zero. */
  eventFd(): number;
  signalEventFd(fd: number): void;
  /**
   * The same of an eventfd that another process has sent, which may have filled it or made it one that blocks: nobody waits. One that
   * is full stays so.
   */
  signalForeignEventFd(fd: number): void;
  /** Sets it to zero: true if it was not. Does not wait, whatever others have made of it. */
  drainEventFd(fd: number): boolean;
  /**
   * Makes an eventfd that another process has sent one that never blocks who signals or drains it, for all who have it.
   * False if the descriptor is not that of an eventfd.
   */
  adoptEventFd(fd: number): boolean;
  /** O_DIRECT for an open file: false if its file system refuses. `on` is 0 or 1. */
  setDirect(fd: number, on: number): boolean;
  /** Logical block size and bytes of a block device, null for anything else. */
  blockDevice(fd: number): { logical_block_size: number; bytes: number } | null;
  /** Gives up what lockFile took, for every copy of the descriptor. */
  unlockFile(fd: number): void;
  /** fallocate(mode) of a range, bytes: 0, or a negative errno. Blocks. */
  allocateFile(fd: number, mode: number, offset: number, length: number): number;
  /**
   * lseek: the first byte from `offset` on that is data (`hole` 0) or in a hole (1), as an offset; or a negative errno:
   * ENXIO if there is none. Files end with a hole. Blocks.
   */
  seekFile(fd: number, offset: number, hole: number): number;
  /**
   * What O_DIRECT asks of addresses (`memory`) and of offsets and lengths (`offset`), bytes; 0: there is no direct
   * I/O. Null where the kernel or the file system does not tell.
   */
  directAlignment(fd: number): { memory: number; offset: number } | null;

  /**
   * io_setup. `ring` is the kernel's own: eight words (the third is the head, the fourth the tail), then events of
   * four 64-bit numbers (data, iocb, result, second result).
   */
  aioSetup(entries: number): { readonly context: unknown; readonly ring: ArrayBuffer };
  /**
   * io_submit of the iocbs (64 bytes each) whose numbers are order[0 … count). Returns how many were taken, or the
   * negative errno of the first.
   */
  aioSubmit(context: unknown, iocbs: ArrayBufferView, order: Uint32Array, count: number): number;
  /** io_destroy: waits for what is under way; views of the ring are empty afterwards. */
  aioDestroy(context: unknown): void;

  /**
   * Reserves zeroed memory that is committed as it is touched; `huge` is 1 for pages of 2 MiB where the kernel has
   * them, else 0; `descriptor` is 1 for memory that other processes can map ({@link memoryBehind}), else 0. Returns its
   * handle, good in every thread.
   */
  allocateMemory(bytes: number, huge: number, descriptor: number): number;
  /** The memory as an ArrayBuffer of this thread, 4 GiB at most. */
  attachMemory(handle: number): ArrayBuffer;
  memoryAddress(handle: number): number;
  /** Gives the memory back once the last ArrayBuffer over it is gone. */
  releaseMemory(handle: number): void;
  /** Gives whole pages of a range back to the kernel; the range's pages read as zeroes. */
  discardMemory(handle: number, offset: number, length: number): void;
  addressOf(view: ArrayBufferView | ArrayBuffer): number;
  /**
   * The allocated memory with a descriptor that a view's bytes lie in, whole: a copy of the descriptor, the caller's to
   * close, and where it begins in this process, the same in every thread. Null if they lie in none.
   */
  memoryBehind(
    view: ArrayBufferView | ArrayBuffer,
  ): { descriptor: number; address: number; bytes: number } | null;

  /** New memory of this size with a descriptor, zeroed (memfd_create): it can be passed to other processes. */
  memoryFile(name: string, bytes: number): number;
  /** From now on nobody can change the size of a memory file. */
  sealSize(fd: number): void;
  /**
   * Memory of a file or memory file as an ArrayBuffer: unmapped when that is collected, or by {@link unmapBuffer}. The
   * offset is a multiple of the page size, and the range lies inside the file, 4 GiB at most. `shared` is 1 for memory
   * that all see who map it, 0 where what is written stays here (enough for a descriptor that can only be read). If
   * somebody makes the file shorter, what is gone reads as zeroes, and {@link mapLost} tells. Files whose pages another process or
   * machine brings (FUSE, network file systems), or whose mount this process does not see, are refused: touching them could
   * take for ever.
   */
  mapDescriptor(fd: number, offset: number, length: number, shared: number): ArrayBuffer;
  /** Takes the memory from an ArrayBuffer of {@link mapDescriptor}: its views are empty from now on. */
  unmapBuffer(buffer: ArrayBuffer): void;
  /** True if memory of {@link mapDescriptor} was touched after its file had been made shorter. */
  mapLost(buffer: ArrayBuffer): boolean;

  /** The NSID of an NVMe namespace's device, or a negative errno: ENOTTY for what is none. */
  nvmeNamespace(fd: number): number;
  /**
   * An Admin command to a namespace's or controller's device: `command` is a struct nvme_passthru_cmd of 18 words, without addresses
   * and lengths, `data` empty where it has none. 0, the NVMe status that it ended with, or a negative errno; word 17 is then its dword 0. Blocks.
   */
  nvmeAdmin(fd: number, command: Uint32Array, data: ArrayBufferView): number;

  /**
   * BLKREPORTZONE: zones of a zoned block device from the one that `sector` (512 bytes) is in, as many as there is room
   * for: a header of 16 bytes, and 64 for each (struct blk_zone). Their number, or a negative errno. Blocks.
   */
  zoneReport(fd: number, sector: number, into: ArrayBufferView): number;
  /** Closes (0), finishes (1), opens (2) or resets (3) the zones of a range of sectors: 0, or a negative errno. Blocks. */
  zoneManage(fd: number, action: number, sector: number, sectors: number): number;

  /** `flags`: IORING_SETUP_*. Entries have 128 bytes with SQE128, else 64; completions 32 with CQE32, else 16. */
  ringSetup(entries: number, cqEntries: number, flags: number): RingMemory;
  /** io_uring_enter: what it returns, or a negative errno. `timeout_ns` bounds the wait; -1: no bound. */
  ringEnter(fd: number, toSubmit: number, minComplete: number, flags: number, timeout_ns: number): number;
  /**
   * io_uring_register: what it returns, or a negative errno. The argument is as long as the opcode and the count
   * need it; addresses inside it are the caller's responsibility.
   */
  ringRegister(fd: number, opcode: number, argument: ArrayBufferView | null, count: number): number;
  /**
   * Watches an eventfd from the thread's event loop; `callback` is called once for each start. The watch ends when it
   * is collected.
   */
  ringWatch(fd: number, callback: () => void): unknown;
  ringWatchStart(watch: unknown): void;
  ringWatchStop(watch: unknown): void;
  /** Ends a watch for good: its copy of the descriptor is closed at once. */
  ringWatchClose(watch: unknown): void;

  /** A listening TCP socket. `address` is numeric. */
  socketListen(address: string, port: number, backlog: number): number;
  /** A TCP socket whose connection is under way, from the address `from`, or (empty) one that the system chooses. Both are numeric. */
  socketConnect(address: string, port: number, from: string): number;
  /** how: 0 receive, 1 send, 2 both. */
  socketShutdown(fd: number, how: number): void;
  /** False if the system does not have the option. */
  socketOption(fd: number, name: SocketOption, value: number): boolean;
  /** The pending error, a positive errno or 0. */
  socketError(fd: number): number;
  /** Bytes of a TCP connection that its peer has acknowledged, since its start. */
  socketAcknowledged(fd: number): number;
  socketPeer(fd: number): { address: string; port: number };
  socketName(fd: number): { address: string; port: number };

  /**
   * Reads a configuration for OpenSSL, as OPENSSL_CONF names one at a process' start: its section `nodejs_conf` holds for every
   * TLS context of the process that is made from then on. Call it before there is any. Throws if it cannot be read, or OpenSSL not be
   * reached.
   */
  loadOpensslConfig(path: string): void;

  /** Two connected UNIX stream sockets, which do not block. */
  socketPair(): [number, number];
  /** A listening UNIX stream socket. The path must not exist yet. */
  unixListen(path: string, backlog: number): number;
  unixConnect(path: string): number;
  /** The next connection of a listening socket: a descriptor that does not block, or -1 if there is none now. */
  unixAccept(fd: number): number;
  /**
   * Sends bytes over a UNIX socket, and with the first of them descriptors (SCM_RIGHTS), 253 at most: copies, the
   * caller's stay open. Returns the bytes sent, 0 if the socket takes nothing now.
   */
  sendDescriptors(fd: number, bytes: Uint8Array, descriptors: Int32Array): number;
  /**
   * Receives bytes, and the descriptors that came with them, which are the caller's to close. Null if there is
   * nothing now; no bytes at the peer's end.
   */
  receiveDescriptors(fd: number, into: Uint8Array): { bytes: number; descriptors: number[] } | null;

  /** 0 if the kernel lets this process use its AIO (io_setup), else the errno. */
  probeAio(): number;

  /** One thread's memory regions for {@link batchRun}. */
  batchTable(): unknown;
  batchRegion(table: unknown, region: number, bytes: Uint8Array | null): void;
  /** Carries out `count` operations (see env's Batch for their layout). Returns how many were out of bounds. */
  batchRun(table: unknown, descriptors: Float64Array, count: number): number;
  /** CRC32C of `length` bytes at `offset` of a region, continued from `crc` (0 at first). Throws if they are outside. */
  batchCrc32c(table: unknown, region: number, offset: number, length: number, crc: number): number;
  /** CRC32C of bytes[start … end), continued from `crc` (0 at first). */
  crc32c(bytes: Uint8Array, start: number, end: number, crc: number): number;
  /** The ways to a CRC32C that this processor has, the one that is used last: `table`, `instruction`. */
  crc32cPaths(): string[];
  /** {@link crc32c} by one of them. */
  crc32cBy(path: string, bytes: Uint8Array, start: number, end: number, crc: number): number;
  /** CRC-16 T10DIF of bytes[start … end), continued from `crc` (0 at first). */
  crc16T10dif(bytes: Uint8Array, start: number, end: number, crc: number): number;
  /** CRC-64 NVMe of bytes[start … end): continues `crc`, its lower and its upper half (0 at first), in place. */
  crc64Nvme(crc: Uint32Array, bytes: Uint8Array, start: number, end: number): void;
}

const loaded = loadAddon();

/** The addon, or null where it is absent. */
export const native: Native | null = loaded.addon as Native | null;

/** Why the addon is absent, or an empty string where it is there. */
export const nativeUnavailable: string = loaded.why;
