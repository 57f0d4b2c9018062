/** What checks need of a queue and a host, whatever carries the commands: capsules over TCP, or entries in memory over PCI. */
import type { SqeFields } from '@spdk-ts/nvme-spec';
import type { Completion } from './raw-queue.ts';

export interface CommandQueue {
  /** It takes no more commands. */
  readonly ended: boolean;
  /** Of the controller that it belongs to. */
  readonly cntlid: number;
  /** Bytes of data that a command may bring in its capsule. */
  readonly inCapsuleMax: number;
  /** Answers to commands that nobody waits for are dropped. */
  lenient: boolean;
  /** A command identifier that is not outstanding. */
  newCid(): number;
  /** Waits for the completion of a command that the test posts. */
  expect(cid: number): Promise<Completion>;
  /** Sends commands without data, with CIDs of the test's own, at once and in this order. */
  post(...commands: readonly SqeFields[]): void;
  /** A command that brings data, or has none. */
  submit(fields: SqeFields, data?: Uint8Array): Promise<Completion>;
  /** Several of them, told of at once, in this order. */
  together(...commands: readonly (readonly [SqeFields, Uint8Array])[]): Promise<Completion>[];
  /** A command whose data, over TCP, the target asks for; else the same as `submit`. */
  submitR2t(fields: SqeFields, data: Uint8Array): Promise<Completion>;
  /** A command that gets `length` bytes. */
  submitRead(fields: SqeFields, length: number): Promise<Completion>;
}

export interface CommandHost<Queue extends CommandQueue = CommandQueue> {
  readonly admin: Queue;
  readonly queues: Queue[];
  /** A property or register, as Property Get answers it. `size`: one of `propertySize`. */
  getProperty(offset: number, size: number): Promise<Completion>;
  putProperty(offset: number, size: number, value: number): Promise<Completion>;
  property(offset: number): Promise<number>;
  setProperty(offset: number, value: number): Promise<void>;
  /** Sets CC, and waits until CSTS.RDY is as CC.EN. */
  enable(cc?: number): Promise<void>;
  /** Asks for I/O queues: returns how many it may have. */
  setQueueCount(count: number): Promise<number>;
  /** Makes I/O queues, numbered on from those that there are. */
  openQueues(count: number, options?: { readonly entries?: number }): Promise<Queue[]>;
  identify(cns: number, nsid?: number, csi?: number): Promise<Buffer>;
  close(): void;
}
