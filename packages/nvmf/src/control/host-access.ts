import type { Keyring } from '@spdk-ts/keyring';
import type { ReactorHost } from '@spdk-ts/reactor';
import { invalidParams } from '@spdk-ts/rpc';
import type { AuthChallengeQuestion, AuthProgress, AuthReplyQuestion, QpairGone } from '../snapshot.ts';
import type { AuthenticationControl, AuthenticationTarget } from './authentication-control.ts';
import type { HostOptions, Subsystem } from './subsystem.ts';

/** What access needs to know of the target. */
export interface HostAccessParts {
  readonly host: ReactorHost;
  readonly keyring: Keyring;
  readonly subsystems: () => Iterable<Subsystem>;
  readonly controller: AuthenticationTarget['controller'];
}

/**
 * How hosts prove who they are: the keys that they have, and what is decided with them. The code that knows keys and
 * authentication is loaded for the first host that has a key or authenticates itself.
 */
export class HostAccess {
  private readonly parts: HostAccessParts;
  private authentication: AuthenticationControl | null = null;
  private stopped = false;

  constructor(parts: HostAccessParts) {
    this.parts = parts;
  }

  /** What reactors ask while a host authenticates itself. */
  readonly services = {
    authChallenge: async (question: AuthChallengeQuestion) => (await this.control()).challenge(question),
    authReply: async (question: AuthReplyQuestion) => (await this.control()).reply(question),
    authProgress: (progress: AuthProgress) => this.authentication?.progress(progress),
  };

  private async control(): Promise<AuthenticationControl> {
    const { AuthenticationControl } = await import('./authentication-control.ts');
    if (this.stopped) throw new Error('the target is stopping');
    this.authentication ??= new AuthenticationControl({
      controller: this.parts.controller,
      keysOf: ({ subsystem, hostnqn }) => subsystem.hostKeys.get(hostnqn),
    });
    return this.authentication;
  }

  /** A queue pair is gone. */
  forget(gone: QpairGone): void {
    this.authentication?.forget(gone);
  }

  /** Puts a host on a subsystem's list. Rejects with an RPC error -32602 that names the key that cannot be used. */
  async add(subsystem: Subsystem, hostnqn: string, options: HostOptions): Promise<void> {
    const { psk, dhchap_key, dhchap_ctrlr_key } = options;
    if (psk !== undefined || dhchap_key !== undefined || dhchap_ctrlr_key !== undefined) {
      const { holdHostKeys } = await import('./host-keys-control.ts');
      subsystem.hostKeys.set(hostnqn, holdHostKeys(this.parts.keyring, options, hostnqn, subsystem.nqn));
    }
    subsystem.hosts.set(hostnqn, options);
    if (psk !== undefined) await this.tellPsks();
  }

  /** Other DH-HMAC-CHAP keys for a host of the list; what is not given stays. Rejects as {@link add} does. */
  async change(subsystem: Subsystem, hostnqn: string, changes: Omit<HostOptions, 'psk'>): Promise<void> {
    const known = subsystem.hosts.get(hostnqn);
    if (known === undefined)
      throw invalidParams(`host: ${hostnqn} is not on the list of subsystem ${subsystem.nqn}`, 'host');
    const { holdHostKeys } = await import('./host-keys-control.ts');
    const options = { ...known, ...changes };
    const { psk: _, ...names } = options;
    const { dhchap, ctrlr } = holdHostKeys(this.parts.keyring, names, hostnqn, subsystem.nqn);
    const before = subsystem.hostKeys.get(hostnqn);
    before?.dhchap?.put();
    before?.ctrlr?.put();
    subsystem.hostKeys.set(hostnqn, { dhchap, ctrlr, psk: before?.psk ?? null, tls: before?.tls ?? [] });
    subsystem.hosts.set(hostnqn, options);
  }

  /** Lets go of the keys of a host that is not on the list any more. */
  async drop(subsystem: Subsystem, hostnqn: string): Promise<void> {
    const keys = subsystem.hostKeys.get(hostnqn);
    if (keys === undefined) return;
    subsystem.hostKeys.delete(hostnqn);
    keys.dhchap?.put();
    keys.ctrlr?.put();
    keys.psk?.put();
    if (keys.psk !== null) await this.tellPsks();
  }

  /** The reactors need the keys of TLS connections at hand: a handshake does not wait. */
  private async tellPsks(): Promise<void> {
    const keys = [...this.parts.subsystems()].flatMap(({ hostKeys }) => [...hostKeys.values()]);
    await this.parts.host.broadcast(
      'nvmf',
      'setPsks',
      keys.flatMap(({ tls }) => tls),
    );
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.authentication?.stop();
  }
}
