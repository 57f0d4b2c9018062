import { type BdevChannel, getBdevService, IoType } from '@spdk-ts/bdev';
import type { Reactor, Thread } from '@spdk-ts/reactor';
import { SubsystemCounters } from './counters.ts';
import { commandSetOf, NamespaceKind, namespaceKind } from './namespace-kind.ts';
import { Protection } from './protection.ts';
import type { NvmfRequest } from './request.ts';
import type { ReservationAccess } from './reservations.ts';
import type { NamespaceSnapshot, SubsystemSnapshot } from './snapshot.ts';
import { appendBytes } from './zone-limits.ts';

/** A namespace on one reactor: what is told of it, and the channel that its I/O takes. */
export class NamespaceView {
  readonly nsid: number;
  readonly channel: BdevChannel;
  /** A NamespaceKind, and the command set (CSI) of that. */
  readonly kind: number;
  readonly csi: number;
  /** Bytes of a block, as hosts transfer it: with metadata, if there are any. */
  readonly block_size: number;
  readonly flushes: boolean;
  readonly compares: boolean;
  readonly zeroes: boolean;
  readonly unmaps: boolean;
  readonly verifies: boolean;
  readonly copies: boolean;
  readonly makes_uncorrectable: boolean;
  /** The bdev is an NVMe namespace, which takes commands as they are. */
  readonly takes_commands: boolean;
  /** Compare and Write is possible, of so many blocks. */
  readonly fuses: boolean;
  readonly acwu: number;
  /** Deallocated blocks read as zeroes; and Write Zeroes may make such of its. */
  readonly unmap_zeroes: boolean;
  readonly zeroes_deallocate: boolean;
  readonly writable: boolean;
  readonly writes_at_once: boolean;
  /** The bdev can name the place of a write's data before they come. */
  readonly places_writes: boolean;
  /** Bytes of the longest Zone Append, a power of two; 0: it has no zones. */
  readonly append_bytes: number;
  /** What inserts, checks and strips protection information, or null. */
  readonly protection: Protection | null;
  snapshot: NamespaceSnapshot;
  /** What a reservation refuses, and to whom. */
  access: ReservationAccess;
  /** It is being changed: new I/O waits in {@link SubsystemView.queued}. */
  paused = false;
  /** Bdev I/Os and aborts under way that no request stands for. */
  loose = 0;

  constructor(snapshot: NamespaceSnapshot, channel: BdevChannel) {
    this.nsid = snapshot.nsid;
    this.channel = channel;
    const { description } = channel.device;
    const kind = namespaceKind(description);
    const plain = kind === NamespaceKind.BLOCKS;
    this.kind = kind;
    this.csi = commandSetOf(kind);
    this.block_size = channel.block_size;
    this.flushes = channel.supports(IoType.FLUSH);
    this.compares = channel.supports(IoType.COMPARE);
    this.zeroes = channel.supports(IoType.WRITE_ZEROES);
    this.unmaps = channel.supports(IoType.UNMAP);
    this.verifies = channel.supports(IoType.READ);
    this.copies = plain && channel.supports(IoType.COPY);
    this.makes_uncorrectable = channel.supports(IoType.WRITE_UNCORRECTABLE);
    this.fuses = plain && channel.supports(IoType.COMPARE_AND_WRITE);
    this.takes_commands = channel.supports(IoType.NVME_IO);
    this.acwu = description.acwu;
    this.unmap_zeroes = this.unmaps && description.unmap_zeroes;
    // What deallocated blocks have of protection information is not what Write Zeroes is to write.
    this.zeroes_deallocate = plain && this.unmap_zeroes;
    this.writable = channel.supports(kind === NamespaceKind.KEY_VALUE ? IoType.KV_STORE : IoType.WRITE);
    // Other data may have to wait: for a zone, for what they are to be joined with.
    this.writes_at_once = plain && description.writes_at_once;
    this.places_writes = plain && channel.lendsPlaces;
    this.append_bytes = kind === NamespaceKind.ZONED ? appendBytes(description) : 0;
    this.protection = kind === NamespaceKind.PROTECTED ? new Protection(channel) : null;
    this.snapshot = snapshot;
    this.access = snapshot.access;
  }

  /** Gives back what it holds. Nothing may be in flight. */
  close(): void {
    this.protection?.close();
    this.channel.put();
  }
}

/** True if both say the same of a namespace, as a host sees it. Of its ANA group an event of its own tells. */
function same(a: NamespaceSnapshot, b: NamespaceSnapshot): boolean {
  return (
    a.bdev.id === b.bdev.id &&
    a.bdev.num_blocks === b.bdev.num_blocks &&
    a.nguid === b.nguid &&
    a.eui64 === b.eui64 &&
    a.uuid === b.uuid
  );
}

/** A subsystem on one reactor. */
export class SubsystemView {
  readonly id: number;
  readonly nqn: string;
  readonly discovery: boolean;
  snapshot: SubsystemSnapshot;
  readonly counters: SubsystemCounters;
  /** By NSID; index 0 is never used. */
  readonly namespaces: (NamespaceView | null)[] = [];

  /** While set, new I/O waits in {@link queued}. */
  paused = false;
  readonly queued: NvmfRequest[] = [];
  /** I/O commands that execute, and bdev I/Os whose data is still being sent. */
  outstanding = 0;
  held = 0;
  /** Changes that wait for commands to end. */
  fences = 0;
  private onDrained: (() => void)[] = [];

  private readonly reactor: Reactor;
  private readonly thread: Thread;

  /** A view without namespaces: {@link update} gives it those of the snapshot. */
  constructor(snapshot: SubsystemSnapshot, thread: Thread) {
    this.id = snapshot.id;
    this.nqn = snapshot.nqn;
    this.discovery = snapshot.subtype === 'Discovery';
    this.counters = new SubsystemCounters(snapshot.counters, thread.reactor.index);
    this.reactor = thread.reactor;
    this.thread = thread;
    this.snapshot = { ...snapshot, namespaces: [] };
    while (this.namespaces.length <= snapshot.max_namespaces) this.namespaces.push(null);
  }

  /** The namespace of an NSID, or null. */
  find(nsid: number): NamespaceView | null {
    return nsid < this.namespaces.length ? this.namespaces[nsid]! : null;
  }

  /** NSIDs of namespaces, ascending. */
  get nsids(): number[] {
    return this.namespaces.flatMap((ns) => (ns === null ? [] : [ns.nsid]));
  }

  /**
   * Takes a new snapshot: opens channels of new namespaces, gives back those of removed ones (nothing may be in
   * flight to these). Returns the NSIDs of namespaces that came, went or changed, and the first error of a channel
   * that could not be opened.
   */
  update(snapshot: SubsystemSnapshot): { changed: number[]; failure: unknown } {
    const before = new Map(this.snapshot.namespaces.map((ns) => [ns.nsid, ns]));
    const after = new Map(snapshot.namespaces.map((ns) => [ns.nsid, ns]));
    const changed: number[] = [];
    for (const [nsid, old] of before) {
      const now = after.get(nsid);
      if (now !== undefined && now.bdev.id === old.bdev.id) continue;
      this.namespaces[nsid]!.close();
      this.namespaces[nsid] = null;
      changed.push(nsid);
    }
    const applied: NamespaceSnapshot[] = [];
    let failure: unknown = null;
    for (const [nsid, now] of after) {
      const old = before.get(nsid);
      const view = this.namespaces[nsid]!;
      try {
        if (view === null) this.open(now);
        else {
          view.snapshot = now;
          view.access = now.access;
        }
        applied.push(now);
      } catch (error) {
        failure ??= error;
      }
      if ((old === undefined || !same(old, now)) && !changed.includes(nsid)) changed.push(nsid);
    }
    this.snapshot = { ...snapshot, namespaces: applied };
    return { changed: changed.sort((a, b) => a - b), failure };
  }

  private open(ns: NamespaceSnapshot): void {
    const channel = getBdevService(this.reactor).getChannel(ns.bdev.id, this.thread, ns.bdev.hides_metadata);
    this.namespaces[ns.nsid] = new NamespaceView(ns, channel);
  }

  /** Something waits for commands to end: hosts may not hold them up as long as otherwise. */
  get hurries(): boolean {
    return this.paused || this.fences > 0;
  }

  /** New I/O waits from now on. Resolves when nothing is in flight any more. */
  pause(): Promise<void> {
    this.paused = true;
    if (this.outstanding + this.held === 0) return Promise.resolve();
    return new Promise((resolve) => this.onDrained.push(resolve));
  }

  /** For whoever lowers outstanding or held while paused. */
  drained(): void {
    if (this.outstanding + this.held > 0) return;
    const waiting = this.onDrained;
    this.onDrained = [];
    for (const resolve of waiting) resolve();
  }

  /** Gives everything back. Nothing may be in flight. */
  destroy(): void {
    this.update({ ...this.snapshot, namespaces: [] });
  }
}
