import { type Discovered, DiscoveryService, NvmePollGroup, type NvmeTarget } from '@spdk-ts/nvme';
import type { Reactor } from '@spdk-ts/reactor';

export interface StartDiscovery {
  readonly service: number;
  readonly target: NvmeTarget;
}

/** Told by a service's reactor. */
export interface DiscoveredMessage {
  readonly service: number;
  readonly found: Discovered;
}

/** The discovery services that live on one reactor. */
export class DiscoveryReactor {
  private readonly reactor: Reactor;
  private readonly services = new Map<number, DiscoveryService>();

  constructor(reactor: Reactor) {
    this.reactor = reactor;
  }

  start({ service, target }: StartDiscovery): void {
    const tell = (found: Discovered): void =>
      this.reactor.control.notify('bdev_nvme_discovery', 'discovered', { service, found });
    this.services.set(service, new DiscoveryService(NvmePollGroup.of(this.reactor), target, tell));
  }

  async stop(service: number): Promise<void> {
    const found = this.services.get(service);
    this.services.delete(service);
    await found?.close();
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.services.keys()].map((service) => this.stop(service)));
  }
}
