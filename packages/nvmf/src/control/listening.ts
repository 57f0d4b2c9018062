import type { ReactorHost } from '@spdk-ts/reactor';
import { invalidParams } from '@spdk-ts/rpc';
import type { TransportAddress } from '../qpair.ts';
import { addressText } from './address-control.ts';

interface Listening {
  readonly address: TransportAddress;
  readonly reactor: number;
  users: number;
}

/**
 * Addresses that transports listen at. Several subsystems may be reachable at one; it is listened at once, on one
 * reactor, from the first user to the last. The reactors take turns.
 */
export class ListeningAddresses {
  private readonly host: ReactorHost;
  private readonly addresses = new Map<string, Listening>();
  private count = 0;
  private changes: Promise<unknown> = Promise.resolve();

  constructor(host: ReactorHost) {
    this.host = host;
  }

  private serialize<T>(change: () => Promise<T>): Promise<T> {
    const result = this.changes.then(change);
    this.changes = result.catch(() => {});
    return result;
  }

  /** One more subsystem is reachable there. Rejects with an RPC error -32602 that says why it cannot be. */
  add(address: TransportAddress): Promise<void> {
    return this.serialize(async () => {
      const key = addressText(address);
      const known = this.addresses.get(key);
      if (known !== undefined) {
        known.users++;
        return;
      }
      const reactor = this.count % this.host.reactors.length;
      try {
        await this.host.call(reactor, 'nvmf', 'listen', address);
      } catch (error) {
        throw invalidParams(
          `listen_address: cannot listen at ${key}: ${(error as Error).message}`,
          'listen_address',
        );
      }
      this.count++;
      this.addresses.set(key, { address, reactor, users: 1 });
    });
  }

  /** One subsystem less. With the last one the address is closed, and what is connected through it. */
  remove(address: TransportAddress): Promise<void> {
    return this.serialize(async () => {
      const key = addressText(address);
      const known = this.addresses.get(key);
      if (known === undefined || --known.users > 0) return;
      this.addresses.delete(key);
      await this.host.call(known.reactor, 'nvmf', 'stopListening', address);
    });
  }
}
