import { Logger } from '@spdk-ts/log';
import type { ReactorHost } from '@spdk-ts/reactor';
import { invalidParams } from '@spdk-ts/rpc';
import type { TransportAddress } from '../qpair.ts';
import { addressText } from './address-control.ts';

const log = new Logger('nvmf');

/** Whether OpenSSL was given a configuration: by who started the process, or by `spdk-ts tgt` itself. */
function hasOpensslConfig(): boolean {
  const { OPENSSL_CONF, NODE_OPTIONS = '' } = process.env;
  return (
    OPENSSL_CONF !== undefined || `${NODE_OPTIONS} ${process.execArgv.join(' ')}`.includes('--openssl-config')
  );
}

/** Transports whose clients do not say which subsystem they mean. */
const exclusive: ReadonlySet<string> = new Set(['VFIOUSER']);

interface Listening {
  readonly address: TransportAddress;
  readonly reactor: number;
  readonly secure: boolean;
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
  private toldOfTickets = false;
  private changes: Promise<unknown> = Promise.resolve();

  constructor(host: ReactorHost) {
    this.host = host;
  }

  private async prepareSecure(address: TransportAddress): Promise<void> {
    await this.host.broadcast('nvmf', 'prepareSecure', address);
    if (this.toldOfTickets || hasOpensslConfig()) return;
    this.toldOfTickets = true;
    log.notice(
      'TLS: Linux hosts end connections that session tickets arrive on, and only an OpenSSL configuration turns those off. ' +
        'spdk-ts tgt has one where there is the native addon; else start with OPENSSL_CONF=…/spdk-ts/bin/tls.cnf (docs/nvmf.md)',
    );
  }

  private serialize<T>(change: () => Promise<T>): Promise<T> {
    const result = this.changes.then(change);
    this.changes = result.catch(() => {});
    return result;
  }

  /**
   * One more subsystem is reachable there, over TLS if `secure`. Rejects with an RPC error -32602 that says why it
   * cannot be.
   */
  add(address: TransportAddress, secure: boolean, subnqn: string): Promise<void> {
    return this.serialize(async () => {
      const key = addressText(address);
      const known = this.addresses.get(key);
      if (known !== undefined && known.secure !== secure)
        throw invalidParams(
          `secure_channel is ${secure}: others are reached at ${key} ${known.secure ? 'over TLS' : 'without TLS'}, and an address is one or the other`,
          'secure_channel',
        );
      if (known !== undefined && exclusive.has(address.trtype))
        throw invalidParams(
          `listen_address: another subsystem is reached at ${key}: a client there names none, so there is one only`,
          'listen_address',
        );
      if (known !== undefined) {
        known.users++;
        return;
      }
      const reactor = this.count % this.host.reactors.length;
      try {
        // Any of them may get connections that come through there.
        if (secure) await this.prepareSecure(address);
        await this.host.call(reactor, 'nvmf', 'listen', { address, secure, subnqn });
      } catch (error) {
        throw invalidParams(
          `listen_address: cannot listen at ${key}: ${(error as Error).message}`,
          'listen_address',
        );
      }
      this.count++;
      this.addresses.set(key, { address, reactor, secure, users: 1 });
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
