import { BdevError, Errno, type ModuleCall } from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import { addressKey, type Discovered, makeTransportId, resolveTarget, type TransportId } from '@spdk-ts/nvme';
import { DISCOVERY_NQN } from '@spdk-ts/nvme-spec';
import type { ReactorHost } from '@spdk-ts/reactor';
import { errnoError } from '@spdk-ts/rpc';
import type { AttachCall } from './attach-control.ts';
import type { NvmeControllers } from './controllers-control.ts';
import type { DiscoveredMessage } from './discovery-reactor.ts';
import { checkTimeouts } from './options-control.ts';

/** How often is looked whether a controller that was found is still attached. */
const CHECK_MS = 10_000;

export interface DiscoveryCall
  extends Pick<AttachCall, 'ctrlr_loss_timeout_sec' | 'reconnect_delay_sec' | 'fast_io_fail_timeout_sec'> {
  readonly name: string;
  readonly trtype: string;
  readonly traddr: string;
  readonly adrfam?: string;
  readonly trsvcid?: string;
  readonly hostnqn?: string;
  readonly wait_for_attach?: boolean;
  readonly attach_timeout_ms?: number;
}

/** A path that a service has attached. */
interface Found {
  readonly trid: TransportId;
  readonly name: string;
}

interface Service {
  readonly id: number;
  readonly reactor: number;
  readonly call: DiscoveryCall;
  readonly trid: TransportId;
  discovered: Discovered;
  /** Names of controllers, by their subsystem. */
  readonly names: Map<string, string>;
  readonly attached: Map<string, Found>;
  /** Changes, one after the other. */
  changes: Promise<unknown>;
  timer: NodeJS.Timeout | null;
  stopping: Promise<void> | null;
  /** Told when all that was found at first is attached, or cannot be. */
  ready: ((error: Error | null) => void) | null;
}

const nothing: Discovered = { subsystems: [], referrals: [], settled: false, problems: [] };
const shown = ({ trtype, adrfam, traddr, trsvcid, subnqn }: TransportId) => ({
  ...{ trtype, adrfam, traddr, trsvcid, subnqn },
});

/** Discovery services, on the control thread: what they find is attached, what they do not find any more is detached. */
export class NvmeDiscovery {
  private readonly host: ReactorHost;
  private readonly controllers: NvmeControllers;
  private readonly log = new Logger('bdev_nvme');
  private readonly services = new Map<string, Service>();
  private ids = 0;

  constructor(host: ReactorHost, controllers: NvmeControllers) {
    this.host = host;
    this.controllers = controllers;
    host.provide('bdev_nvme_discovery', {
      discovered: (message: DiscoveredMessage) => this.discovered(message),
    });
  }

  /** bdev_nvme_start_discovery. Rejects with BdevError, or RPC error -110 if it takes longer than was allowed. */
  async start(call: DiscoveryCall): Promise<void> {
    checkTimeouts({ ...this.controllers.options, ...timeouts(call) });
    const target = await resolveTarget(this.tridOf(call), {
      ...(call.hostnqn !== undefined && { hostnqn: call.hostnqn }),
      keep_alive_timeout_ms: this.controllers.options.keep_alive_timeout_ms,
    }).catch((error: Error) => Promise.reject(new BdevError(Errno.EINVAL, error.message)));
    const key = addressKey(target.trid);
    for (const { call: other, trid } of this.services.values())
      if (other.name === call.name || addressKey(trid) === key)
        throw new BdevError(
          Errno.EEXIST,
          other.name === call.name
            ? `there is a discovery service "${call.name}"`
            : `${trid.traddr}:${trid.trsvcid} is followed by "${other.name}"`,
        );
    const id = ++this.ids;
    const service: Service = {
      ...{ id, reactor: id % this.host.reactors.length, call, trid: target.trid, discovered: nothing },
      ...{ names: new Map(), attached: new Map(), changes: Promise.resolve() },
      ...{ timer: null, stopping: null, ready: null },
    };
    this.services.set(call.name, service);
    const ready = this.readiness(service);
    await this.host.call(service.reactor, 'bdev_nvme', 'startDiscovery', { service: id, target });
    service.timer = setInterval(() => this.reconcile(service), CHECK_MS).unref();
    await ready;
  }

  private tridOf({ trtype, traddr, adrfam, trsvcid }: DiscoveryCall): TransportId {
    try {
      return makeTransportId({ trtype, traddr, adrfam, trsvcid, subnqn: DISCOVERY_NQN });
    } catch (error) {
      throw new BdevError(Errno.EINVAL, (error as Error).message);
    }
  }

  /** Resolves when everything that there was at first is attached, where that is to be waited for. */
  private async readiness(service: Service): Promise<void> {
    const { wait_for_attach, attach_timeout_ms = 0, name } = service.call;
    if (wait_for_attach !== true && attach_timeout_ms === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const error = await new Promise<Error | null>((resolve) => {
      service.ready = resolve;
      if (attach_timeout_ms > 0) timer = setTimeout(() => resolve(this.late(service)), attach_timeout_ms);
    });
    clearTimeout(timer);
    service.ready = null;
    if (error === null) return;
    await this.stop(name).catch(() => {});
    throw error;
  }

  private late({ discovered, call }: Service): Error {
    const problem = discovered.problems[0] ?? 'controllers are still being attached';
    return errnoError('ETIMEDOUT', `attach_timeout_ms is ${call.attach_timeout_ms}: ${problem}`);
  }

  private discovered({ service: id, found }: DiscoveredMessage): void {
    const service = [...this.services.values()].find((one) => one.id === id);
    if (service === undefined) return;
    service.discovered = found;
    this.reconcile(service);
  }

  /** Makes what is attached be what is known. */
  private reconcile(service: Service): void {
    service.changes = service.changes.then(() => this.change(service));
  }

  private async change(service: Service): Promise<void> {
    const { discovered, attached } = service;
    const wanted = new Map(discovered.subsystems.map((trid) => [addressKey(trid), trid]));
    for (const [key, found] of attached) {
      if (service.stopping !== null) return;
      if (!this.isAttached(found)) attached.delete(key);
      else if (!wanted.has(key)) await this.detach(service, key, found);
    }
    let failure: Error | null = null;
    for (const [key, trid] of wanted) {
      if (service.stopping !== null) return;
      if (!attached.has(key)) failure = (await this.attach(service, key, trid)) ?? failure;
    }
    if (failure !== null || discovered.settled) service.ready?.(failure);
  }

  private isAttached({ name, trid }: Found): boolean {
    return this.controllers.paths(name).some((path) => addressKey(path) === addressKey(trid));
  }

  /** Attaches what was found, as one more path if its subsystem is attached. Resolves with the error, or null. */
  private async attach(service: Service, key: string, trid: TransportId): Promise<Error | null> {
    const { names, call } = service;
    const known = names.get(trid.subnqn);
    const name = known ?? this.nextName(service);
    names.set(trid.subnqn, name);
    const { adrfam, traddr, trsvcid, subnqn } = trid;
    const { hostnqn } = call;
    const attachment = {
      ...{ name, trtype: 'TCP', adrfam, traddr, trsvcid, subnqn, ...timeouts(call) },
      ...{ multipath: 'multipath' as const, ...(hostnqn !== undefined && { hostnqn }) },
    };
    try {
      const bdevs = await this.controllers.attach(attachment, { saved: false });
      service.attached.set(key, { trid, name });
      this.log.notice(
        `discovery ${call.name}: ${name}: attached ${subnqn} at ${traddr}:${trsvcid}: ${bdevs}`,
      );
      return null;
    } catch (error) {
      const { code, message } = error as { code?: unknown; message: string };
      this.log.warn(`discovery ${call.name}: ${subnqn} at ${traddr}:${trsvcid} is not attached: ${message}`);
      // One path of several: the others serve.
      return known !== undefined && code === Errno.EALREADY ? null : (error as Error);
    }
  }

  private nextName({ names, call }: Service): string {
    const taken = new Set(names.values());
    let index = 0;
    while (taken.has(`${call.name}${index}`)) index++;
    return `${call.name}${index}`;
  }

  private async detach(service: Service, key: string, { name, trid }: Found): Promise<void> {
    service.attached.delete(key);
    const others = [...service.attached.values()].some((found) => found.name === name);
    if (!others) service.names.delete(trid.subnqn);
    this.log.notice(
      `discovery ${service.call.name}: ${name}: ${trid.traddr}:${trid.trsvcid} is not named any more`,
    );
    await this.controllers
      .detachPath(name, trid)
      .catch((error: Error) => this.log.warn(`discovery ${service.call.name}: ${error.message}`));
  }

  /** bdev_nvme_stop_discovery: what it has attached is detached. */
  async stop(name: string): Promise<void> {
    const service = this.services.get(name);
    if (service === undefined)
      throw new BdevError(
        Errno.ENODEV,
        `there is no discovery service "${name}"; bdev_nvme_get_discovery_info lists those that exist`,
      );
    service.stopping ??= this.end(service);
    await service.stopping;
  }

  private async end(service: Service): Promise<void> {
    if (service.timer !== null) clearInterval(service.timer);
    service.ready?.(new BdevError(Errno.EIO, `discovery service "${service.call.name}" has been stopped`));
    await this.host.call(service.reactor, 'bdev_nvme', 'stopDiscovery', { service: service.id });
    await service.changes;
    for (const [key, found] of service.attached)
      if (this.isAttached(found)) await this.detach(service, key, found);
    this.services.delete(service.call.name);
  }

  /** bdev_nvme_get_discovery_info. */
  info() {
    return [...this.services.values()].map(({ call, trid, discovered }) => ({
      name: call.name,
      trid: shown(trid),
      referrals: discovered.referrals.map((referral) => ({ trid: shown(referral) })),
    }));
  }

  /** The calls that start the services again. */
  config(): ModuleCall[] {
    return [...this.services.values()].map(({ call }) => ({
      method: 'bdev_nvme_start_discovery',
      params: { ...call },
    }));
  }
}

const timeouts = (
  call: DiscoveryCall,
): Pick<DiscoveryCall, 'ctrlr_loss_timeout_sec' | 'reconnect_delay_sec' | 'fast_io_fail_timeout_sec'> => {
  const { ctrlr_loss_timeout_sec, reconnect_delay_sec, fast_io_fail_timeout_sec } = call;
  return {
    ...(ctrlr_loss_timeout_sec !== undefined && { ctrlr_loss_timeout_sec }),
    ...(reconnect_delay_sec !== undefined && { reconnect_delay_sec }),
    ...(fast_io_fail_timeout_sec !== undefined && { fast_io_fail_timeout_sec }),
  };
};
