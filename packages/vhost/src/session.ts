import { type LimitedLogger, Logger } from '@spdk-ts/log';
import { native } from '@spdk-ts/native';
import type { Thread } from '@spdk-ts/reactor';
import type { BlkDevice } from './blk-device.ts';
import { type Bits, encode, type Message, numberPayload, requestName } from './protocol/codec.ts';
import { Connection, type ConnectionOwner } from './protocol/connection.ts';
import {
  BackendRequest,
  Flag,
  PROTOCOL_FEATURES,
  ProtocolFeature,
  QUEUES_MAX,
} from './protocol/constants.ts';
import { VhostUserError } from './protocol/errors.ts';
import { SessionMemory } from './session-memory.ts';
import { ANSWERED, carryOut } from './session-requests.ts';
import { Feature } from './virtio/constants.ts';
import { featureBits, hasFeature, unknownFeatures } from './virtio/features.ts';
import type { InflightArea } from './virtio/inflight.ts';
import type { Virtqueue } from './virtio/virtqueue.ts';
import { Vring } from './vring.ts';

/** Who a session belongs to. */
export interface SessionOwner {
  readonly device: BlkDevice;
  readonly thread: Thread;
  /** For what front-ends provoke. */
  readonly complaints: LimitedLogger;
  /** Rings have started or stopped. */
  queuesChanged(): void;
  /** The session has ended, and nothing of it is left. */
  sessionEnded(session: Session): void;
}

/** A session as vhost_get_controllers shows it. */
export interface SessionInfo {
  readonly vid: number;
  readonly id: number;
  readonly name: string;
  readonly started: boolean;
  readonly max_queues: number;
  readonly inflight_task_cnt: number;
}

const noFeatures = featureBits();
const log = new Logger('vhost');

/**
 * One front-end (a virtual machine) at a controller: what it has negotiated, the memory that it has lent, and its rings.
 * Messages are carried out one after the other; those that stop rings wait until nothing is under way there.
 */
export class Session implements ConnectionOwner {
  readonly vid: number;
  readonly id: number;
  readonly name: string;
  readonly memory: SessionMemory;
  readonly owner: SessionOwner;
  private readonly connection: Connection;
  private readonly vrings: (Vring | null)[] = [];
  private features: Bits = noFeatures;
  private protocol = 0;
  private inflight: InflightArea | null = null;
  private backend_fd = -1;
  private started = false;
  private ended = false;
  /** When it came, and when its connection ended, ticks. */
  readonly since: number;
  ended_at = 0;
  /** Resolves when nothing of it is left, once its connection has ended. */
  readonly left: Promise<void>;
  private readonly leave: () => void;
  /** Called when rings that are being stopped have nothing under way. */
  private readonly onDrained: (() => void)[] = [];

  /** Owns the descriptor of the connection. */
  constructor(owner: SessionOwner, fd: number, { vid, id, name }: { vid: number; id: number; name: string }) {
    this.owner = owner;
    this.vid = vid;
    this.id = id;
    this.name = name;
    this.since = owner.thread.reactor.now;
    this.memory = new SessionMemory(owner.thread.reactor.regions);
    this.connection = new Connection(fd, owner.thread, this);
    let leave = (): void => {};
    this.left = new Promise((resolve) => {
      leave = resolve;
    });
    this.leave = leave;
  }

  /** Its connection has ended, and it is not gone yet. */
  get leaving(): boolean {
    return this.ended;
  }

  /** It has not been let in yet. */
  get waits(): boolean {
    return !this.started && !this.ended;
  }

  /** Reads messages from now on. */
  start(): void {
    this.started = true;
    if (!this.ended) this.connection.start();
  }

  /** The rings that run. */
  get queues(): Virtqueue[] {
    return this.vrings.flatMap((vring) => (vring === null || vring.queue === null ? [] : [vring.queue]));
  }

  get info(): SessionInfo {
    const { vid, id, name, queues } = this;
    return {
      ...{ vid, id, name },
      started: queues.length > 0,
      max_queues: queues.length,
      inflight_task_cnt: queues.reduce((sum, queue) => sum + queue.inflight, 0),
    };
  }

  // --- messages ---

  async takeMessage(message: Message): Promise<void> {
    const acknowledges =
      (message.flags & Flag.NEED_REPLY) !== 0 && this.negotiated(ProtocolFeature.REPLY_ACK);
    try {
      const answer = (await carryOut(this, message)) ?? (acknowledges ? numberPayload(0) : null);
      if (answer !== null && answer !== ANSWERED && !this.ended)
        this.connection.reply(message.request, answer);
    } catch (error) {
      const why = `${requestName(message.request)}: ${(error as Error).message}`;
      if (!acknowledges || this.ended) throw new VhostUserError(why);
      this.owner.complaints.warn(`${this.name}: refused ${why}`);
      this.connection.reply(message.request, numberPayload(1));
    }
  }

  /** Answers a message with a descriptor, which stays the caller's. */
  reply(request: number, payload: Uint8Array, fd: number): void {
    if (!this.ended) this.connection.reply(request, payload, Int32Array.of(fd));
  }

  /** True if a protocol feature is in use. */
  negotiated(feature: number): boolean {
    return (this.protocol & (1 << feature)) !== 0;
  }

  setFeatures(features: Bits): void {
    const unknown = unknownFeatures(features, this.owner.device.features);
    if (unknown !== null)
      throw new VhostUserError(
        `features ${hex(unknown.high)} ${hex(unknown.low)} (upper and lower word) were not offered`,
      );
    const changes = hasFeature(features, Feature.RING_PACKED) !== this.packed;
    if (changes && this.queues.length > 0)
      throw new VhostUserError('rings that run cannot become packed ones, or split ones');
    this.features = features;
  }

  /** Rings are packed ones. */
  get packed(): boolean {
    return hasFeature(this.features, Feature.RING_PACKED);
  }

  setProtocolFeatures({ low, high }: Bits): void {
    if ((low & ~PROTOCOL_FEATURES) !== 0 || high !== 0)
      throw new VhostUserError(
        `protocol features ${hex(high)} ${hex(low)}: offered are ${hex(PROTOCOL_FEATURES)}`,
      );
    this.protocol = low;
  }

  /** Takes over the socket for messages of ours. */
  setBackend(fd: number): void {
    if (this.backend_fd >= 0) native!.closeFd(this.backend_fd);
    this.backend_fd = fd;
  }

  /** Tells the front-end that the configuration space is another. */
  configChanged(): void {
    if (this.ended || this.backend_fd < 0 || !this.negotiated(ProtocolFeature.CONFIG)) return;
    try {
      const bytes = encode(BackendRequest.CONFIG_CHANGE_MSG, 0, new Uint8Array(0));
      if (native!.sendDescriptors(this.backend_fd, bytes, new Int32Array(0)) === bytes.length) return;
      this.owner.complaints.warn(`${this.name}: it does not read that its disk has changed`);
    } catch (error) {
      const why = (error as Error).message;
      this.owner.complaints.warn(`${this.name}: it cannot be told that its disk has changed: ${why}`);
    }
  }

  // --- memory ---

  /** Changes the memory while nothing uses it; rings that run go on with what they find then. */
  async changeMemory(change: () => void): Promise<void> {
    const { queues } = this;
    for (const queue of queues) queue.paused = true;
    await this.drained(queues);
    if (this.ended) throw new VhostUserError('the connection has ended');
    try {
      change();
    } finally {
      for (const queue of queues) if (!queue.broken) this.relocate(queue);
      this.owner.thread.reactor.wake();
    }
  }

  private relocate(queue: Virtqueue): void {
    queue.paused = false;
    try {
      queue.locate();
      queue.setNotify(false);
      // The guest may wait for a call that went to memory which is gone.
      queue.call();
    } catch (error) {
      queue.fail((error as Error).message);
    }
  }

  /** Takes over the area in which rings that start from now on note what is under way. */
  setInflight(area: InflightArea): void {
    if (this.queues.length > 0) {
      area.close();
      throw new VhostUserError('rings that run keep their in-flight area');
    }
    this.inflight?.close();
    this.inflight = area;
  }

  // --- rings ---

  /** The ring of an index, as it is set up. */
  vring(index: number): Vring {
    if (index >= QUEUES_MAX)
      throw new VhostUserError(`there is no ring ${index}: they are numbered from 0 to ${QUEUES_MAX - 1}`);
    while (this.vrings.length <= index) this.vrings.push(null);
    const vring = this.vrings[index] ?? new Vring(index);
    this.vrings[index] = vring;
    return vring;
  }

  /** Starts a ring; takes over the descriptor for its kicks, unless it throws. */
  startVring(index: number, fd: number): void {
    const { features, memory, inflight } = this;
    const { device, thread } = this.owner;
    const context = { features, memory, device, inflight };
    this.vring(index).setKick(fd, context, () => thread.reactor.wake());
    this.owner.queuesChanged();
  }

  enableVring(index: number, enabled: boolean): void {
    this.vring(index).setEnabled(enabled);
    this.owner.thread.reactor.wake();
  }

  /** Stops a ring once nothing is under way there. Resolves to where its next request is. */
  async stopVring(index: number): Promise<number> {
    const vring = this.vring(index);
    if (vring.queue !== null) {
      vring.queue.paused = true;
      await this.drained([vring.queue]);
    }
    const base = vring.stop();
    this.owner.queuesChanged();
    return base;
  }

  /** Stops all rings, likewise. */
  async stopAll(): Promise<void> {
    for (const queue of this.queues) queue.paused = true;
    await this.drained(this.queues);
    for (const vring of this.vrings) vring?.stop();
    this.owner.queuesChanged();
  }

  /** Resolves when paused rings have nothing under way, and their drivers were told. */
  private async drained(queues: readonly Virtqueue[]): Promise<void> {
    while (queues.some(({ inflight }) => inflight > 0))
      await new Promise<void>((resolve) => {
        this.onDrained.push(resolve);
      });
    for (const queue of queues) queue.flushNow();
  }

  /** A paused ring has nothing under way any more. */
  queueDrained(): void {
    for (const done of this.onDrained.splice(0)) done();
  }

  // --- end ---

  /** Ends the connection. */
  close(reason: string): void {
    this.connection.close(reason);
  }

  connectionEnded(reason: string | null): void {
    this.ended = true;
    this.ended_at = this.owner.thread.reactor.now;
    if (reason === null) log.info(`${this.name}: disconnected`);
    else this.owner.complaints.warn(`${this.name}: the connection has ended: ${reason}`);
    void this.end();
  }

  private async end(): Promise<void> {
    // A message that is being carried out may wait for the same: it finds that the session has ended.
    await this.stopAll();
    for (const vring of this.vrings) vring?.close();
    if (this.backend_fd >= 0) native!.closeFd(this.backend_fd);
    this.backend_fd = -1;
    this.inflight?.close();
    this.inflight = null;
    this.memory.clear();
    this.owner.sessionEnded(this);
    this.leave();
  }
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
