import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { native } from '@spdk-ts/native';
import { closeDescriptor } from '@spdk-ts/vfio-user';
import type { TransportAddress } from '../qpair.ts';
import { isFolder, removeSocket } from './posix-path.ts';
import { Session, type SessionHost } from './session.ts';
import type { SessionText } from './session-memory.ts';

/** The socket in an endpoint's folder. */
const SOCKET = 'cntrl';
const BACKLOG = 8;

function listenError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/**
 * Who the guest at an endpoint is, as hosts of subsystems are known: an identifier made of the endpoint's path, so that it is the same
 * each time, and another at every endpoint.
 */
export function hostOf(traddr: string): { readonly hostid: string; readonly hostnqn: string } {
  const bytes = createHash('sha256').update(`spdk-ts vfio-user ${traddr}`).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hostid = bytes.toString('hex');
  const uuid = hostid.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  return { hostid, hostnqn: `nqn.2014-08.org.nvmexpress:uuid:${uuid}` };
}

/** Removes what a process that is no more has left of its socket. Throws if somebody listens there. */
function clearPath(path: string): void {
  try {
    closeDescriptor(native!.unixConnect(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).message.includes('Connection refused')) removeSocket(path);
    return;
  }
  throw listenError('EADDRINUSE', `somebody listens at ${path}`);
}

/** A folder whose socket clients find an NVMe controller of one subsystem at: one client at a time, others wait. */
export class Endpoint {
  readonly address: TransportAddress;
  readonly path: string;
  private readonly host: SessionHost;
  private readonly text: SessionText;
  private readonly fd: number;
  private readonly wake: () => void;
  private session: Session | null = null;
  /** Tells of connections, and whether there may be one. */
  private watch: unknown = null;
  private readable = true;
  /** The same of the client's messages; and whether the watch is started. */
  private socketWatch: unknown = null;
  private socketReadable = true;
  private watching = false;
  private closed = false;
  private onClosed: (() => void) | null = null;

  /** Listens. Throws an Error with a `code`. */
  constructor(address: TransportAddress, subnqn: string, host: Omit<SessionHost, 'ended'>, wake: () => void) {
    const addon = native!;
    const { traddr } = address;
    this.address = address;
    this.path = join(traddr, SOCKET);
    if (!isFolder(traddr)) throw listenError('ENOTDIR', `${traddr} is no folder; make it first`);
    clearPath(this.path);
    this.fd = addon.unixListen(this.path, BACKLOG);
    this.host = { ...host, ended: () => this.sessionEnded() };
    this.text = { traddr, subnqn, ...hostOf(traddr) };
    this.watch = addon.ringWatch(this.fd, () => {
      this.readable = true;
      wake();
    });
    addon.ringWatchStart(this.watch);
    this.wake = wake;
  }
  /** Connections, and messages of the client. `eager`: looks for messages without having been told. */
  poll(eager: boolean): number {
    const { session } = this;
    if (session === null) return this.readable && !this.closed ? this.accept() : 0;
    if (!eager && !this.socketReadable) return 0;
    const { channel } = session.connection;
    if (channel.isPaused) return 0;
    const messages = session.connection.receive();
    if (messages === 0 && !channel.isPaused && !channel.unsent) this.socketReadable = false;
    if (messages === 0 && this.session === session && channel.isOpen) this.startWatch();
    return messages;
  }

  private startWatch(): void {
    if (this.watching || this.socketWatch === null) return;
    this.watching = true;
    native!.ringWatchStart(this.socketWatch);
  }

  private accept(): number {
    const addon = native!;
    const fd = addon.unixAccept(this.fd);
    if (fd < 0) {
      this.readable = false;
      addon.ringWatchStart(this.watch);
      return 0;
    }
    const session = new Session(this.host, fd, this.text);
    this.session = session;
    this.socketReadable = true;
    this.watching = false;
    this.socketWatch = addon.ringWatch(fd, () => {
      this.watching = false;
      this.socketReadable = true;
      this.wake();
    });
    return 1;
  }

  private sessionEnded(): void {
    this.session = null;
    native!.ringWatchClose(this.socketWatch);
    this.socketWatch = null;
    this.readable = true;
    this.wake();
    if (this.closed) this.onClosed?.();
  }

  /** Whether the client's last message was answered in full: what is left is tried again by a timer. */
  get isBehind(): boolean {
    return this.session?.connection.channel.unsent === true;
  }
  retry(): void {
    this.socketReadable = true;
  }

  /** Listens no more, and ends the client. Resolves when nothing is left of it. */
  close(reason: string): Promise<void> {
    if (!this.closed) {
      this.closed = true;
      native!.ringWatchClose(this.watch);
      this.watch = null;
      removeSocket(this.path);
      native!.closeFd(this.fd);
    }
    if (this.session === null) return Promise.resolve();
    return new Promise((resolve) => {
      this.onClosed = resolve;
      this.session?.close(reason);
    });
  }
}
