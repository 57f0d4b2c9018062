import { Logger } from '@spdk-ts/log';
import type { ReactorHost } from '@spdk-ts/reactor';
import { invalidParams } from '@spdk-ts/rpc';
import { type AnaState, withAnaState } from '../ana.ts';
import type { TransportAddress } from '../qpair.ts';
import { type ListenAddress, parseAddress } from './address-control.ts';
import { ListeningAddresses } from './listening.ts';
import type { Namespaces } from './namespaces.ts';
import type { ListenerRecord, Subsystem } from './subsystem.ts';

export interface ListenerParams {
  readonly listen_address: ListenAddress;
  readonly secure_channel?: boolean;
  readonly ana_state?: AnaState;
  readonly sock_impl?: string;
}

interface Parts {
  readonly host: ReactorHost;
  readonly namespaces: Namespaces;
  hasTransport(trtype: string): boolean;
  /** How many a subsystem may have. */
  most(): number;
}

const where = ({ traddr, trsvcid }: TransportAddress): string => `${traddr}:${trsvcid}`;

/** Where subsystems are reached, and the ANA states of their groups there. Refusals are RPC errors. */
export class Listeners {
  private readonly parts: Parts;
  private readonly listening: ListeningAddresses;
  private readonly log = new Logger('nvmf');

  constructor(parts: Parts) {
    this.parts = parts;
    this.listening = new ListeningAddresses(parts.host);
  }

  /** What is asked for, if there is such a transport. */
  parse(params: ListenerParams): { address: TransportAddress; secure_channel: boolean } {
    const address = parseAddress(params.listen_address, 'listen_address');
    if (!this.parts.hasTransport(address.trtype))
      throw invalidParams(
        `listen_address.trtype: there is no ${address.trtype} transport; call nvmf_create_transport first`,
        'listen_address.trtype',
      );
    return { address, secure_channel: params.secure_channel ?? false };
  }

  async add(
    subsystem: Subsystem,
    address: TransportAddress,
    secure_channel: boolean,
    params: ListenerParams,
  ): Promise<void> {
    this.check(subsystem, address, secure_channel);
    await this.listening.add(address, secure_channel, subsystem.nqn);
    const { ana_state = 'optimized', sock_impl } = params;
    const record: ListenerRecord = {
      ...{ id: subsystem.nextListenerId(), address, secure_channel },
      ...{ ana: { others: ana_state, groups: new Map() }, sock_impl },
    };
    subsystem.listeners = [...subsystem.listeners, record];
    await this.parts.namespaces.apply(subsystem);
    this.log.notice(`NVMe/${address.trtype} Target Listening on ${address.traddr} port ${address.trsvcid}`);
  }

  private check(subsystem: Subsystem, address: TransportAddress, secure_channel: boolean): void {
    const { nqn, subtype, listeners } = subsystem;
    if (address.trtype === 'VFIOUSER' && secure_channel)
      throw invalidParams(
        'secure_channel is true: VFIOUSER has none, who may connect is what the permissions of the folder say',
        'secure_channel',
      );
    if (address.trtype === 'VFIOUSER' && subtype === 'Discovery')
      throw invalidParams('nqn: the discovery subsystem is not reached over VFIOUSER', 'nqn');
    if (subsystem.listener(address) !== undefined)
      throw invalidParams(
        `listen_address: subsystem ${nqn} listens at ${where(address)} already`,
        'listen_address',
      );
    const most = this.parts.most();
    if (listeners.length >= most)
      throw invalidParams(
        `listen_address: subsystem ${nqn} has ${most} listeners; raise the limit with spdk_ts_nvmf_set_limits`,
        'listen_address',
      );
  }

  private find(subsystem: Subsystem, address: TransportAddress): ListenerRecord {
    const record = subsystem.listener(address);
    if (record === undefined)
      throw invalidParams(
        `listen_address: subsystem ${subsystem.nqn} does not listen at ${where(address)}`,
        'listen_address',
      );
    return record;
  }

  /** The subsystem is not reached there any more; what is connected stays until {@link close}. */
  forget(subsystem: Subsystem, address: TransportAddress): void {
    const record = this.find(subsystem, address);
    subsystem.listeners = subsystem.listeners.filter((other) => other !== record);
  }

  /** One user of an address less. */
  close(address: TransportAddress): Promise<void> {
    return this.listening.remove(address);
  }

  async closeAll(subsystem: Subsystem): Promise<void> {
    for (const { address } of subsystem.listeners) await this.listening.remove(address);
    subsystem.listeners = [];
  }

  /** Gives the ANA groups of a listener, or (`anagrpid` not 0) one of them, a state. */
  async setAnaState(
    subsystem: Subsystem,
    address: TransportAddress,
    state: AnaState,
    anagrpid: number,
  ): Promise<void> {
    const { nqn } = subsystem;
    const { max_namespaces, ana_reporting } = subsystem.options;
    if (!ana_reporting)
      throw invalidParams(`nqn: subsystem ${nqn} does not report ANA; create it with ana_reporting`, 'nqn');
    if (anagrpid > max_namespaces)
      throw invalidParams(`anagrpid is ${anagrpid}: give 1 to ${max_namespaces}`, 'anagrpid');
    const record = this.find(subsystem, address);
    const ana = withAnaState(record.ana, state, anagrpid);
    if (ana === record.ana) return;
    subsystem.listeners = subsystem.listeners.map((one) => (one === record ? { ...one, ana } : one));
    subsystem.ana_chgcnt++;
    await this.parts.namespaces.apply(subsystem);
  }
}
