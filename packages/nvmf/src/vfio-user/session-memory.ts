import { native } from '@spdk-ts/native';
import { VECTORS_MAX } from './layout.ts';

/*
 * Words of the memory that a session's reactors share, and where the text is.
 */
const CNTLID = 0;
const INTX_FD = 1;
/** The client has not taken back the last INTx interrupt, or has masked it. */
const INTX_MASKED = 2;
const INTX_PENDING = 3;
/** INTMS: bits of vectors that INTx is masked for. */
const INTX_MASK_SET = 4;
/** MSI-X: the function is masked. */
const FUNCTION_MASKED = 5;
const COALESCING = 6;
const VECTOR_FD = 16;
const VECTOR_MASK = VECTOR_FD + VECTORS_MAX;
const VECTOR_PENDING = VECTOR_MASK + VECTORS_MAX;
/** Interrupt Vector Configuration: coalescing is disabled. */
const VECTOR_DIRECT = VECTOR_PENDING + VECTORS_MAX;
const TEXT = 4 * (VECTOR_DIRECT + VECTORS_MAX);
const BYTES = 16_384;

/** Masked by its entry in the MSI-X table, or by the client's SET_IRQS. */
export const VectorMask = { TABLE: 1, CLIENT: 2 } as const;

/** What every reactor with queues of a session must know to connect them. */
export interface SessionText {
  readonly traddr: string;
  readonly subnqn: string;
  readonly hostnqn: string;
  /** 32 hexadecimal digits. */
  readonly hostid: string;
}

/**
 * A session's memory that its reactors share: a memory file, which they find by its descriptor. Descriptors of eventfds in it
 * are closed only when no reactor can be about to use them.
 */
export class SessionMemory {
  readonly fd: number;
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;

  /** New memory, or that of a descriptor. The descriptor stays the caller's to close. */
  constructor(fd: number = native!.memoryFile('spdk-ts-vfio-user', BYTES)) {
    this.fd = fd;
    const memory = native!.mapDescriptor(fd, 0, BYTES, 1);
    this.words = new Int32Array(memory);
    this.bytes = new Uint8Array(memory);
  }

  get cntlid(): number {
    return Atomics.load(this.words, CNTLID);
  }
  set cntlid(value: number) {
    Atomics.store(this.words, CNTLID, value);
  }

  get text(): SessionText {
    const length = new DataView(this.bytes.buffer).getUint32(TEXT, true);
    return JSON.parse(new TextDecoder().decode(this.bytes.subarray(TEXT + 4, TEXT + 4 + length)));
  }
  set text(text: SessionText) {
    const bytes = new TextEncoder().encode(JSON.stringify(text));
    new DataView(this.bytes.buffer).setUint32(TEXT, bytes.length, true);
    this.bytes.set(bytes, TEXT + 4);
  }

  // --- coalescing (features 08h and 09h) ---

  /** Dword of Interrupt Coalescing: threshold (0's based) in 7:0, time in units of 100 µs in 15:8. */
  get coalescing(): number {
    return this.words[COALESCING]!;
  }
  set coalescing(value: number) {
    Atomics.store(this.words, COALESCING, value);
  }
  isDirect(vector: number): boolean {
    return this.words[VECTOR_DIRECT + vector] !== 0;
  }
  setDirect(vector: number, direct: boolean): void {
    Atomics.store(this.words, VECTOR_DIRECT + vector, direct ? 1 : 0);
  }

  // --- interrupts ---

  /** Interrupts the guest for a completion queue's vector, or keeps that until it may be interrupted. */
  raise(vector: number): void {
    const { words } = this;
    if (Atomics.load(words, INTX_FD) !== 0) {
      Atomics.store(words, INTX_PENDING, 1);
      this.settleIntx();
      return;
    }
    const fd = Atomics.load(words, VECTOR_FD + vector);
    const masked = words[VECTOR_MASK + vector]! | words[FUNCTION_MASKED]!;
    if (fd === 0 || masked !== 0) {
      Atomics.store(words, VECTOR_PENDING + vector, 1);
      this.settleVector(vector);
    } else signal(fd);
  }

  /** Gives an INTx interrupt that waits, if it may be given. */
  private settleIntx(): void {
    const { words } = this;
    const fd = Atomics.load(words, INTX_FD);
    if (fd === 0 || (Atomics.load(words, INTX_MASK_SET) & 1) !== 0) return;
    if (Atomics.load(words, INTX_PENDING) === 0) return;
    // Level-triggered: masked until the client has seen to it that the guest took it.
    if (Atomics.exchange(words, INTX_MASKED, 1) !== 0) return;
    Atomics.store(words, INTX_PENDING, 0);
    signal(fd);
  }

  private settleVector(vector: number): void {
    const { words } = this;
    const fd = Atomics.load(words, VECTOR_FD + vector);
    if (fd === 0 || (words[VECTOR_MASK + vector]! | words[FUNCTION_MASKED]!) !== 0) return;
    if (Atomics.exchange(words, VECTOR_PENDING + vector, 0) !== 0) signal(fd);
  }

  /** Sets the descriptor of a vector (0: none). Returns the one that it had. */
  setVector(vector: number, fd: number): number {
    const before = Atomics.exchange(this.words, VECTOR_FD + vector, fd);
    this.settleVector(vector);
    return before;
  }
  maskVector(vector: number, by: number, masked: boolean): void {
    if (masked) Atomics.or(this.words, VECTOR_MASK + vector, by);
    else Atomics.and(this.words, VECTOR_MASK + vector, ~by);
    this.settleVector(vector);
  }
  isPending(vector: number): boolean {
    return Atomics.load(this.words, VECTOR_PENDING + vector) !== 0;
  }
  maskFunction(masked: boolean): void {
    Atomics.store(this.words, FUNCTION_MASKED, masked ? 1 : 0);
    if (!masked) for (let vector = 0; vector < VECTORS_MAX; vector++) this.settleVector(vector);
  }

  /** Sets the descriptor of INTx (0: none). Returns the one that it had. */
  setIntx(fd: number): number {
    const before = Atomics.exchange(this.words, INTX_FD, fd);
    Atomics.store(this.words, INTX_MASKED, 0);
    if (fd === 0) Atomics.store(this.words, INTX_PENDING, 0);
    this.settleIntx();
    return before;
  }
  maskIntx(masked: boolean): void {
    Atomics.store(this.words, INTX_MASKED, masked ? 1 : 0);
    if (!masked) this.settleIntx();
  }
  get intxPending(): boolean {
    return Atomics.load(this.words, INTX_PENDING) !== 0 || Atomics.load(this.words, INTX_MASKED) !== 0;
  }

  /** INTMS, INTMC. */
  get intxMaskSet(): number {
    return Atomics.load(this.words, INTX_MASK_SET);
  }
  set intxMaskSet(value: number) {
    Atomics.store(this.words, INTX_MASK_SET, value);
    this.settleIntx();
  }

  /** The controller is reset: no interrupt waits any more, and none is coalesced. */
  resetInterrupts(): void {
    const { words } = this;
    Atomics.store(words, COALESCING, 0);
    Atomics.store(words, INTX_PENDING, 0);
    Atomics.store(words, INTX_MASK_SET, 0);
    for (let vector = 0; vector < VECTORS_MAX; vector++) {
      Atomics.store(words, VECTOR_PENDING + vector, 0);
      Atomics.store(words, VECTOR_DIRECT + vector, 0);
    }
  }

  /** Takes out every descriptor, for the caller to close. */
  takeDescriptors(): number[] {
    const taken = [Atomics.exchange(this.words, INTX_FD, 0)];
    for (let vector = 0; vector < VECTORS_MAX; vector++)
      taken.push(Atomics.exchange(this.words, VECTOR_FD + vector, 0));
    return taken.filter((fd) => fd !== 0);
  }
}

function signal(fd: number): void {
  native!.signalForeignEventFd(fd);
}
