/** One reactor's end of a controller's connection: what its queues there use together. */
import type { RegionTable } from '@spdk-ts/env';
import { MAX_REGIONS } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { fillPostedWrite, PciRegion, postedWrite, postedWriteView } from '@spdk-ts/vfio-user';
import { NvmeError } from '../errors.ts';
import type { NvmePollGroup } from '../poll-group.ts';
import { DoorbellKind, type DoorbellPlace, type DoorbellPort, doorbellOffset } from './doorbell.ts';
import { DmaState, LATER, type LinkTerms, NO_ROOM, type SharedState } from './shared-state.ts';

/** What is known of a region. */
const Reach = { UNKNOWN: 0, ASKED: 1, REACHED: 2, COPIED: 3 } as const;

const noDescriptors = new Int32Array(0);
const none = new Int32Array(0);

/** Memory that the controller reaches, by region. Addresses are those of this process. */
export class ReachedMemory {
  private readonly shared: SharedState;
  private readonly regions: RegionTable;
  private readonly ring: () => void;
  private readonly reach = new Uint8Array(MAX_REGIONS);
  private readonly ranges = new Map<number, number>();

  constructor(shared: SharedState, regions: RegionTable, ring: () => void) {
    this.shared = shared;
    this.regions = regions;
    this.ring = ring;
  }

  /** True if the controller reaches a region; it is asked to, if it was not yet. */
  reaches(region: number): boolean {
    const reach = this.reach[region]!;
    return reach === Reach.REACHED || (reach !== Reach.COPIED && this.look(region));
  }

  /** False for as long as it is not known. */
  private look(region: number): boolean {
    if (this.reach[region] === Reach.UNKNOWN) this.ask(region);
    const range = this.ranges.get(region);
    if (range === undefined) return false;
    const state = this.shared.dmaState(range);
    if (state === DmaState.MAPPED) this.reach[region] = Reach.REACHED;
    else if (state === DmaState.REFUSED) this.reach[region] = Reach.COPIED;
    return state === DmaState.MAPPED;
  }

  private ask(region: number): void {
    const behind = native!.memoryBehind(this.regions.bytes(region));
    if (behind === null) {
      this.reach[region] = Reach.COPIED;
      return;
    }
    let adopted = false;
    const range = this.shared.want(behind.address, behind.bytes, behind.descriptor, () => {
      adopted = true;
    });
    if (!adopted) native!.closeFd(behind.descriptor);
    if (range === NO_ROOM) this.reach[region] = Reach.COPIED;
    if (range === NO_ROOM || range === LATER) return;
    this.reach[region] = Reach.ASKED;
    this.ranges.set(region, range);
    this.ring();
  }

  /** True if it is known that a region has to be copied. */
  refused(region: number): boolean {
    return this.reach[region] === Reach.COPIED;
  }

  /** A region goes. */
  forget(region: number): void {
    this.reach[region] = Reach.UNKNOWN;
    const range = this.ranges.get(region);
    if (range === undefined) return;
    this.ranges.delete(region);
    if (this.shared.unwant(range)) this.ring();
  }

  forgetAll(): void {
    for (const region of [...this.ranges.keys()]) this.forget(region);
  }
}

/** Doorbells by message: whole ones, that the socket takes at once or not at all. */
class MessageDoorbells implements DoorbellPort {
  private readonly message = postedWrite(PciRegion.bar0);
  private readonly view = postedWriteView(this.message);
  private readonly socket: number;

  constructor(socket: number) {
    this.socket = socket;
  }

  write(offset: number, value: number): boolean {
    fillPostedWrite(this.view, offset, value);
    try {
      return native!.sendDescriptors(this.socket, this.message, noDescriptors) > 0;
    } catch {
      return true; // the connection is gone, as its reactor is about to find
    }
  }
}

/** The links of each reactor, by the number of their controller; one listener for all tells of regions that go. */
const links = new WeakMap<RegionTable, Map<number, ReactorLink>>();

function linksOf(regions: RegionTable): Map<number, ReactorLink> {
  let found = links.get(regions);
  if (found !== undefined) return found;
  found = new Map();
  links.set(regions, found);
  const table = found;
  regions.onRemove((region) => {
    for (const link of table.values()) link.memory.forget(region);
  });
  return found;
}

export class ReactorLink {
  readonly shared: SharedState;
  readonly generation: number;
  /** As they were when the last queue was opened: more is known of a controller after its admin queue was. */
  terms: LinkTerms;
  readonly memory: ReachedMemory;
  private readonly table: Map<number, ReactorLink>;
  private readonly id: number;
  private readonly bell: number;
  private readonly socket: number;
  private readonly port: DoorbellPort;
  private registers: Int32Array = none;
  private shadows: Int32Array = none;
  private events: Int32Array = none;
  private users = 0;

  /** The reactor's link of controller `id`: that of its present connection. Throws an {@link NvmeError} if that is gone. */
  static use(group: NvmePollGroup, id: number, shared: SharedState): ReactorLink {
    const table = linksOf(group.reactor.regions);
    let link = table.get(id);
    if (link === undefined || link.generation !== shared.generation) {
      link = new ReactorLink(group, id, shared, table);
      table.set(id, link);
    } else link.terms = shared.terms;
    link.users++;
    return link;
  }

  private constructor(
    group: NvmePollGroup,
    id: number,
    shared: SharedState,
    table: Map<number, ReactorLink>,
  ) {
    this.shared = shared;
    this.id = id;
    this.table = table;
    const { state } = shared;
    this.generation = shared.generation;
    this.terms = shared.terms;
    this.memory = new ReachedMemory(shared, group.reactor.regions, () => this.ring());
    const opened: number[] = [];
    try {
      this.bell = this.copy(shared.bell, state, opened);
      this.socket = this.copy(this.terms.socket, state, opened);
    } catch (error) {
      for (const fd of opened) native!.closeFd(fd);
      throw error;
    }
    this.port = new MessageDoorbells(this.socket);
  }

  /** A copy of a descriptor that is this connection's: numbers of closed ones may be another's. */
  private copy(fd: number, state: number, opened: number[]): number {
    const gone = (): NvmeError => new NvmeError('ECLOSED', 'the controller is not connected');
    try {
      opened.push(native!.duplicate(fd));
    } catch {
      throw gone();
    }
    if (this.shared.generation !== this.generation || this.shared.state !== state) throw gone();
    return opened.at(-1)!;
  }

  /** Tells the connection's reactor that something is wanted. */
  ring(): void {
    native!.signalEventFd(this.bell);
  }

  /** Where a queue's doorbell is. One beyond what is mapped, or beyond the page of shadow doorbells, is written by message. */
  doorbell(qid: number, completion: boolean, kind: number): DoorbellPlace {
    const { dstrd, bar_start } = this.terms;
    const offset = doorbellOffset(qid, completion, dstrd);
    if (kind === DoorbellKind.MAPPED) this.mapRegisters();
    if (kind === DoorbellKind.SHADOW) this.mapShadows();
    const { registers, shadows, events, port } = this;
    const register = (offset - bar_start) / 4;
    const shadow = (offset - 0x1000) / 4;
    const beyond =
      (kind === DoorbellKind.MAPPED && register >= registers.length) ||
      (kind === DoorbellKind.SHADOW && shadow >= shadows.length);
    return {
      kind: beyond ? DoorbellKind.TRAPPED : kind,
      ...{ offset, registers, register, shadows, events, shadow, port },
    };
  }

  private mapRegisters(): void {
    const { bar, bar_at, bar_bytes } = this.terms;
    if (this.registers.length > 0) return;
    this.registers = new Int32Array(native!.mapDescriptor(bar, bar_at, bar_bytes - (bar_bytes % 4), 1));
  }

  private mapShadows(): void {
    if (this.shadows.length > 0) return;
    const memory = new Int32Array(native!.attachMemory(this.terms.shadows));
    this.shadows = memory.subarray(0, memory.length / 2);
    this.events = memory.subarray(memory.length / 2);
  }

  /** One queue less uses it. */
  release(): void {
    if (--this.users > 0) return;
    this.memory.forgetAll();
    if (this.table.get(this.id) === this) this.table.delete(this.id);
    if (this.registers.length > 0) native!.unmapBuffer(this.registers.buffer as ArrayBuffer);
    native!.closeFd(this.bell);
    native!.closeFd(this.socket);
  }
}
