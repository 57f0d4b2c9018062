import { native } from '@spdk-ts/native';
import type { Thread } from '@spdk-ts/reactor';
import type { Message } from './codec.ts';
import { encode } from './codec.ts';
import { Flag, HEADER_BYTES, PAYLOAD_BYTES_MAX, VERSION } from './constants.ts';
import { VhostUserError } from './errors.ts';

/** Descriptors that one message may bring: those of a memory table. More are no message of ours. */
const DESCRIPTORS_MAX = 16;
const nothing = new Int32Array(0);

/** What a connection's owner does with it. */
export interface ConnectionOwner {
  /** The next message. No other is read before the promise resolves. Its rejection ends the connection. */
  takeMessage(message: Message): Promise<void>;
  /** The connection has ended: `reason` is null if the peer closed it between two messages. Called once. */
  connectionEnded(reason: string | null): void;
}

/**
 * One front-end's socket: brings whole messages with their descriptors, one after the other, and sends answers. All on one
 * reactor's thread.
 */
export class Connection {
  private readonly fd: number;
  private readonly thread: Thread;
  private readonly owner: ConnectionOwner;
  private readonly watch: unknown;
  private readonly bytes = new Uint8Array(HEADER_BYTES + PAYLOAD_BYTES_MAX);
  private readonly header = new DataView(this.bytes.buffer, 0, HEADER_BYTES);
  private filled = 0;
  private descriptors: number[] = [];
  private busy = false;
  private ended = false;

  /** Owns the descriptor. Messages come once {@link start} is called. */
  constructor(fd: number, thread: Thread, owner: ConnectionOwner) {
    this.fd = fd;
    this.thread = thread;
    this.owner = owner;
    this.watch = native!.ringWatch(fd, () => thread.send(this.receive));
  }

  start(): void {
    this.thread.send(this.receive);
  }

  private readonly receive = (): void => {
    if (this.busy || this.ended) return;
    this.busy = true;
    this.receiveAll().catch((error: Error) => this.close(error.message));
  };

  /** Takes messages until there is none. */
  private async receiveAll(): Promise<void> {
    for (;;) {
      const message = this.nextMessage();
      if (message === null) break;
      try {
        await this.owner.takeMessage(message);
      } finally {
        closeAll(message.descriptors);
      }
      if (this.ended) return;
    }
    this.busy = false;
    if (!this.ended) native!.ringWatchStart(this.watch);
  }

  /** The next whole message, or null if it has not come yet. Throws if what came is none. */
  private nextMessage(): Message | null {
    for (;;) {
      const length = this.filled < HEADER_BYTES ? HEADER_BYTES : this.messageBytes();
      if (this.filled === length) return this.take(length);
      const got = native!.receiveDescriptors(this.fd, this.bytes.subarray(this.filled, length));
      if (got === null) return null;
      this.descriptors.push(...got.descriptors);
      if (this.descriptors.length > DESCRIPTORS_MAX)
        throw new VhostUserError(`a message brings more than ${DESCRIPTORS_MAX} descriptors`);
      if (got.bytes === 0) {
        this.close(this.filled === 0 ? null : 'it ended in the middle of a message');
        return null;
      }
      this.filled += got.bytes;
    }
  }

  /** Length of the message whose header is here. Throws if that is none. */
  private messageBytes(): number {
    const flags = this.header.getUint32(4, true);
    const size = this.header.getUint32(8, true);
    if ((flags & Flag.VERSION_MASK) !== VERSION || (flags & Flag.REPLY) !== 0)
      throw new VhostUserError(
        `request ${this.header.getUint32(0, true)} has flags 0x${flags.toString(16)}: not a request of version ${VERSION}`,
      );
    if (size > PAYLOAD_BYTES_MAX)
      throw new VhostUserError(
        `request ${this.header.getUint32(0, true)} has ${size} bytes of payload: the longest has ${PAYLOAD_BYTES_MAX}`,
      );
    return HEADER_BYTES + size;
  }

  private take(length: number): Message {
    const message = {
      request: this.header.getUint32(0, true),
      flags: this.header.getUint32(4, true),
      payload: this.bytes.slice(HEADER_BYTES, length),
      descriptors: this.descriptors,
    };
    this.filled = 0;
    this.descriptors = [];
    return message;
  }

  /** Answers a request, with descriptors if need be (they stay the caller's). Throws if the peer does not take it. */
  reply(request: number, payload: Uint8Array, descriptors: Int32Array = nothing): void {
    const bytes = encode(request, Flag.REPLY, payload);
    if (native!.sendDescriptors(this.fd, bytes, descriptors) !== bytes.length)
      throw new VhostUserError('it does not read its answers');
  }

  /** Ends the connection. */
  close(reason: string | null): void {
    if (this.ended) return;
    this.ended = true;
    native!.ringWatchClose(this.watch);
    native!.closeFd(this.fd);
    closeAll(this.descriptors);
    this.owner.connectionEnded(reason);
  }
}

/** Closes what is in a list of descriptors, and empties it. */
export function closeAll(descriptors: number[]): void {
  for (const fd of descriptors.splice(0)) native!.closeFd(fd);
}
