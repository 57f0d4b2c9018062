import { LimitedLogger, Logger } from '@spdk-ts/log';
import { native, nativeUnavailable } from '@spdk-ts/native';
import type { Poller, Reactor, Sleeper } from '@spdk-ts/reactor';
import type { NvmfPollGroup } from '../poll-group.ts';
import type { TransportAddress } from '../qpair.ts';
import type { NvmfTransport, TransportOptions } from '../transport.ts';
import type { DoorbellCounts } from './doorbells.ts';
import { Endpoint } from './endpoint.ts';
import { PartHub } from './part-hub.ts';
import type { PartContext } from './session-part.ts';
import { TRTYPE } from './transport-type.ts';
import { traits } from './vfio-user-qpair.ts';

/**
 * How often a reactor that would sleep looks at doorbells in memory that clients have mapped, which nobody tells it of; and how
 * often once it has looked so many times in vain.
 */
const LOOK_PERIOD_US = 1000;
const RARE_AFTER = 500;
const RARE_PERIOD_US = 10_000;
/** How often a client that does not take what it is sent is tried again. */
const RETRY_PERIOD_US = 10_000;
/** How long `destroy` waits for what executes, ticks; and how often it looks. */
const DRAIN_TICKS = 2_000_000_000;
const DRAIN_PERIOD_US = 500;
const COMPLAINTS_PERIOD_US = 1_000_000;

/** NVMe controllers as PCI functions of virtual machines, over the vfio-user protocol, on one reactor. */
export class VfioUserTransport implements NvmfTransport, Sleeper {
  readonly trtype = TRTYPE;
  private readonly context: PartContext;
  private readonly hub: PartHub;
  private readonly reactor: Reactor;
  private readonly counts: DoorbellCounts = { trapped: 0, mapped: 0, shadowed: 0 };
  private readonly log = new LimitedLogger(new Logger('nvmf_vfio'), 'guests');
  private readonly pollers: Poller[];
  private readonly often: Poller;
  private readonly rarely: Poller;
  private readonly retries: Poller;
  private readonly shadow: boolean;
  private endpoints: Endpoint[] = [];
  /** Completion queues that this reactor's sessions have placed on each. */
  private readonly load: Int32Array;
  private fruitless = 0;
  private destroyed = false;

  constructor(group: NvmfPollGroup, options: TransportOptions) {
    if (native === null) throw new Error(`transport ${TRTYPE} needs the native addon: ${nativeUnavailable}`);
    const { extra } = options;
    this.reactor = group.reactor;
    // Shadow doorbells save what writing a doorbell costs: nothing where it is in mapped memory.
    const isMapped = extra['disable_mappable_bar0'] !== true;
    this.shadow = !isMapped && extra['disable_shadow_doorbells'] !== true;
    this.context = {
      ...{ group, options, isMapped, counts: this.counts, traits: traits(this.shadow) },
      complain: (text) => this.log.warn(text),
      maxIoSize: Math.min(options.max_io_size, group.reactor.buffers.max_bytes),
    };
    this.load = new Int32Array(this.reactor.count);
    this.hub = PartHub.of(this.reactor);
    this.hub.serve(this.context);
    this.reactor.addSleeper(this);
    const timed = (name: string, fn: () => number, period_us: number): Poller =>
      group.thread.registerPoller(name, fn, period_us);
    this.often = timed('nvmf_vfio_user_doorbells', () => this.look(), LOOK_PERIOD_US);
    this.rarely = timed('nvmf_vfio_user_idle_doorbells', () => this.look(), RARE_PERIOD_US);
    this.retries = timed('nvmf_vfio_user_retry', () => this.retry(), RETRY_PERIOD_US);
    const complaints = timed('nvmf_vfio_user_complaints', () => this.endPeriod(), COMPLAINTS_PERIOD_US);
    this.pollers = [this.often, this.rarely, this.retries, complaints];
    for (const poller of this.pollers) poller.pause();
    complaints.resume();
  }

  async prepareSecure(): Promise<void> {
    throw new Error(
      `${TRTYPE} has no secure channels: a client on this machine is let in by the socket's permissions`,
    );
  }

  async listen(address: TransportAddress, secure: boolean, subnqn: string): Promise<void> {
    if (secure) await this.prepareSecure();
    const { context, hub, shadow } = this;
    const host = {
      ...{ context, hub, shadow },
      place: () => this.place(),
      unplace: (reactor: number) => {
        this.load[reactor]!--;
      },
      complain: (text: string) => context.complain(text),
    };
    this.endpoints = [...this.endpoints, new Endpoint(address, subnqn, host, () => this.reactor.wake())];
  }

  async stopListening(address: TransportAddress): Promise<void> {
    const stopped = this.endpoints.filter((endpoint) => endpoint.address.traddr === address.traddr);
    for (const endpoint of stopped) await endpoint.close('its listener has been removed');
    this.endpoints = this.endpoints.filter((endpoint) => !stopped.includes(endpoint));
  }

  /** The reactor with the fewest queues of our sessions: this one, if it is among them. */
  private place(): number {
    const { load } = this;
    const { serving } = this.context.group.target;
    const here = this.reactor.index;
    let best = serving.includes(here) ? here : (serving[0] ?? here);
    for (const reactor of serving) if (load[reactor]! < load[best]!) best = reactor;
    load[best]!++;
    return best;
  }

  poll(): number {
    const { endpoints } = this;
    let work = 0;
    const eager = !this.context.isMapped;
    for (let i = 0; i < endpoints.length; i++) work += endpoints[i]!.poll(eager);
    const { list } = this.hub;
    let rung = 0;
    for (let i = 0; i < list.length; i++) rung += list[i]!.poll();
    if (rung > 0) this.fruitless = 0;
    this.tendTimers(list.length > 0 && this.context.isMapped);
    return work + rung;
  }

  flush(): number {
    const { list } = this.hub;
    let work = 0;
    for (let i = 0; i < list.length; i++) work += list[i]!.flush();
    return work;
  }

  statistics(): Record<string, number> {
    const { trapped, mapped, shadowed } = this.counts;
    return { doorbells_trapped: trapped, doorbells_mapped: mapped, doorbells_shadowed: shadowed };
  }

  // --- sleep ---

  armSleep(): boolean {
    let changed = false;
    for (const part of this.hub.list) if (part.armSleep()) changed = true;
    return changed;
  }
  disarmSleep(): void {
    for (const part of this.hub.list) part.disarmSleep();
  }

  /** Only who may sleep though doorbells are rung in mapped memory needs a timer. */
  private tendTimers(wanted: boolean): void {
    const rare = this.fruitless > RARE_AFTER;
    this.setTimer(this.often, wanted && !rare);
    this.setTimer(this.rarely, wanted && rare);
    this.setTimer(this.retries, this.isBehind);
  }
  private setTimer(poller: Poller, on: boolean): void {
    if (on && poller.state === 'paused') poller.resume();
    else if (!on && poller.state !== 'paused') poller.pause();
  }
  private get isBehind(): boolean {
    for (let i = 0; i < this.endpoints.length; i++) if (this.endpoints[i]!.isBehind) return true;
    return false;
  }

  /** Ends a sleep: the next iteration looks at the doorbells. */
  private look(): number {
    if (this.fruitless <= RARE_AFTER) this.fruitless++;
    return 0;
  }
  private retry(): number {
    for (const endpoint of this.endpoints) endpoint.retry();
    return 0;
  }

  private endPeriod(): number {
    this.log.endPeriod();
    return 0;
  }

  /** Closes everything. Resolves when the last queue is gone, or after two seconds without its commands' end. */
  async destroy(): Promise<void> {
    if (this.destroyed) return;
    this.destroyed = true;
    const closing = Promise.all(this.endpoints.map((endpoint) => endpoint.close('the target is stopping')));
    for (const part of this.hub.list) part.end('the target is stopping');
    await this.drain();
    await Promise.race([closing, Promise.resolve()]);
    this.endpoints = [];
    this.hub.serve(null);
    this.reactor.removeSleeper(this);
    for (const poller of this.pollers) poller.unregister();
  }

  /** Polls by itself: the group may have stopped already. */
  private drain(): Promise<void> {
    const deadline = this.reactor.now + DRAIN_TICKS;
    return new Promise((resolve) => {
      const poller = this.context.group.thread.registerPoller(
        'nvmf_vfio_user_drain',
        () => {
          this.poll();
          this.flush();
          const left = this.hub.list.some((part) => part.hasQueues);
          if (left && this.reactor.now < deadline) return 0;
          poller.unregister();
          resolve();
          return 1;
        },
        DRAIN_PERIOD_US,
      );
    });
  }
}
