import type { NvmfPollGroup } from './poll-group.ts';
import type { TransportAddress } from './qpair.ts';

/** Options of nvmf_create_transport, all transports. Defaults: §3.2 of the facts (SPDK's). */
export interface TransportOptions {
  readonly trtype: string;
  readonly max_queue_depth: number;
  /** I/O queue pairs of a controller; the admin queue is not counted. */
  readonly max_io_qpairs_per_ctrlr: number;
  readonly in_capsule_data_size: number;
  /** Bytes; also sets MDTS. */
  readonly max_io_size: number;
  readonly max_aq_depth: number;
  readonly c2h_success: boolean;
  readonly sock_priority: number;
  readonly abort_timeout_sec: number;
  readonly ack_timeout: number;
  /** Keep alive granularity, 100 ms units. */
  readonly kas: number;
  readonly min_kato: number;
  /** The rest of what was asked for: shown again, without effect here. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** A transport on one reactor. */
export interface NvmfTransport {
  readonly trtype: string;
  /** Called on every reactor before any listens over TLS. Rejects with an Error. */
  prepareSecure(): Promise<void>;
  /**
   * Starts to listen on this reactor, over TLS if `secure`. Rejects with an Error that has a `code`. `subnqn`: the subsystem
   * that is reached there, the first of several; of transports whose clients name none, the only one.
   */
  listen(address: TransportAddress, secure: boolean, subnqn: string): Promise<void>;
  /** Stops listening and ends the connections that came through there. */
  stopListening(address: TransportAddress): Promise<void>;
  /**
   * Called once in each iteration of the poll group: takes what has arrived and executes it. Returns the work done.
   */
  poll(): number;
  /**
   * Called later in the same iteration, when what could be completed at once has been: lets the answers leave.
   * Returns the work done.
   */
  flush(): number;
  /** Counters of its own, for nvmf_get_stats. */
  statistics(): Readonly<Record<string, number>>;
  destroy(): Promise<void>;
}

/** How a transport registers itself with the target. */
export interface NvmfTransportType {
  readonly trtype: string;
  create(group: NvmfPollGroup, options: TransportOptions): NvmfTransport | Promise<NvmfTransport>;
}
