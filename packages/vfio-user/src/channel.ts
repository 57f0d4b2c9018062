import { type Native, native, nativeUnavailable } from '@spdk-ts/native';
import { Descriptors } from './descriptors.ts';
import { Errno, invalid, VfioUserError } from './errors.ts';
import { type Header, parseHeader } from './header.ts';
import { HEADER_BYTES } from './protocol.ts';

/** A message as it came. Its payload is valid until the handler returns. */
export interface Message extends Header {
  readonly payload: Uint8Array;
  readonly descriptors: Descriptors;
}

/** Who is told of what a channel receives. */
export interface ChannelHandler {
  /** A whole message. What it throws ends the channel. */
  message(message: Message): void;
  /** The channel has ended, and its descriptor is closed: `error` is null if the peer has closed it. */
  closed(error: Error | null): void;
}

export interface ChannelLimits {
  /** Longest message that is received, header included. */
  readonly maxMessageBytes: number;
  /** Descriptors that are taken with one message. */
  readonly maxDescriptors: number;
}

/** Messages taken in one call of {@link Channel.receive}: nobody's socket keeps a reactor from its other work. */
const BATCH = 16;
const SMALL_BYTES = 4096;
/** socketShutdown: receiving and sending. */
const BOTH = 2;
const noDescriptors = new Int32Array(0);

/** The addon; throws an Error that says why there is none. */
export function requireNative(): Native {
  if (native === null) throw new Error(`vfio-user needs the native addon: ${nativeUnavailable}`);
  return native;
}

/** Bytes that a socket did not take yet. */
interface Unsent {
  bytes: Uint8Array;
  descriptors: Int32Array;
}

/**
 * Messages with descriptors over one UNIX stream socket, which the channel owns. It does nothing by itself: its owner calls
 * {@link receive} when there may be something, and {@link flush} while {@link unsent}. The header is read by itself,
 * so that descriptors are known to belong to the message that they came with.
 */
export class Channel {
  readonly fd: number;
  private readonly handler: ChannelHandler;
  private readonly limits: ChannelLimits;
  private readonly addon: Native;
  private readonly headerBytes = new Uint8Array(HEADER_BYTES);
  private readonly small = new Uint8Array(SMALL_BYTES);
  private header: Header | null = null;
  private body: Uint8Array = this.headerBytes;
  private got = 0;
  private descriptors = new Descriptors();
  private queue: Unsent[] = [];
  private open = true;
  private pauses = 0;

  constructor(fd: number, handler: ChannelHandler, limits: ChannelLimits) {
    this.addon = requireNative();
    this.fd = fd;
    this.handler = handler;
    this.limits = limits;
  }

  get isOpen(): boolean {
    return this.open;
  }

  /** The socket has not taken everything yet: nothing more is received until it has. */
  get unsent(): boolean {
    return this.queue.length > 0;
  }

  /**
   * Receives no further message until {@link resume} was called as often: for commands that take their time, as order
   * matters.
   */
  pause(): void {
    this.pauses++;
  }
  resume(): void {
    this.pauses--;
  }
  get isPaused(): boolean {
    return this.pauses > 0;
  }

  /** Takes what has come, some messages at most. Returns how many it handed to the handler. */
  receive(): number {
    let messages = 0;
    try {
      if (this.unsent) this.flush();
      while (this.open && this.pauses === 0 && !this.unsent && messages < BATCH) {
        if (!this.fill()) break;
        if (this.deliver()) messages++;
      }
    } catch (error) {
      this.end(error as Error);
    }
    return messages;
  }

  /** Fills {@link body}. False: there is no more now, or ever. */
  private fill(): boolean {
    while (this.got < this.body.length) {
      const part = this.addon.receiveDescriptors(this.fd, this.body.subarray(this.got));
      if (part === null) return false;
      if (part.descriptors.length > 0) this.descriptors.add(part.descriptors);
      if (part.bytes === 0) {
        const cut = this.header !== null || this.got > 0;
        this.end(cut ? new VfioUserError(Errno.EPROTO, 'the peer has closed amid a message', true) : null);
        return false;
      }
      this.got += part.bytes;
      if (this.descriptors.count > this.limits.maxDescriptors)
        throw new VfioUserError(
          Errno.EINVAL,
          `${this.descriptors.count} descriptors with one message: ${this.limits.maxDescriptors} are taken`,
          true,
        );
    }
    return true;
  }

  /** {@link body} is full: it was a header, or what completes a message. True if a message was handed over. */
  private deliver(): boolean {
    if (this.header === null) {
      const header = parseHeader(this.headerBytes, this.limits.maxMessageBytes);
      const bytes = header.size - HEADER_BYTES;
      this.header = header;
      this.body = bytes <= SMALL_BYTES ? this.small.subarray(0, bytes) : new Uint8Array(bytes);
      this.got = 0;
      if (bytes > 0) return false;
    }
    const message = { ...this.header, payload: this.body, descriptors: this.descriptors };
    this.header = null;
    this.body = this.headerBytes;
    this.got = 0;
    this.descriptors = new Descriptors();
    try {
      this.handler.message(message);
    } finally {
      message.descriptors.close();
    }
    return true;
  }

  /**
   * Sends a message, with descriptors (which stay the caller's: they are passed before this returns, or copied). Into
   * nothing once the channel has ended.
   */
  send(message: Uint8Array, descriptors: Int32Array = noDescriptors): void {
    if (!this.open) return;
    if (!this.unsent) {
      try {
        const sent = this.addon.sendDescriptors(this.fd, message, descriptors);
        if (sent === message.length) return;
        this.keep(message.subarray(sent), sent > 0 ? noDescriptors : descriptors);
      } catch (error) {
        this.end(error as Error);
      }
      return;
    }
    this.keep(message, descriptors);
  }

  private keep(bytes: Uint8Array, descriptors: Int32Array): void {
    const copies = descriptors.map((fd) => this.addon.duplicate(fd));
    this.queue.push({ bytes: bytes.slice(), descriptors: copies });
  }

  /** Sends what the socket takes now of what it did not take before. True if that was all. */
  flush(): boolean {
    try {
      while (this.open && this.queue.length > 0) {
        const next = this.queue[0]!;
        const sent = this.addon.sendDescriptors(this.fd, next.bytes, next.descriptors);
        if (sent === 0) return false;
        for (const fd of next.descriptors) this.addon.closeFd(fd);
        next.descriptors = noDescriptors;
        next.bytes = next.bytes.subarray(sent);
        if (next.bytes.length === 0) this.queue.shift();
      }
    } catch (error) {
      this.end(error as Error);
    }
    return this.open;
  }

  /** Ends the channel and closes its socket; the handler is not told. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.descriptors.close();
    for (const { descriptors } of this.queue) for (const fd of descriptors) this.addon.closeFd(fd);
    this.queue = [];
    // Others may hold a copy of the descriptor for a while: the peer is told now.
    try {
      this.addon.socketShutdown(this.fd, BOTH);
    } catch {
      // It was not connected any more.
    }
    this.addon.closeFd(this.fd);
  }

  private end(error: Error | null): void {
    if (!this.open) return;
    this.close();
    this.handler.closed(error);
  }
}

/** The limits of a channel whose messages carry `maxDataBytes` at most. */
export function channelLimits(maxDataBytes: number, maxDescriptors: number): ChannelLimits {
  if (maxDataBytes < SMALL_BYTES) throw invalid(`messages of ${maxDataBytes} bytes are too small`);
  // The longest payload beside data: header and fixed fields of a region access.
  return { maxMessageBytes: HEADER_BYTES + 32 + maxDataBytes, maxDescriptors };
}
