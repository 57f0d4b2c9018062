import type { BdevDescription } from '@spdk-ts/bdev';
import type { AnaListener } from './ana.ts';
import type { Limits } from './limits.ts';
import type { TransportAddress } from './qpair.ts';
import type { ReservationAccess, ReservationCommand } from './reservations.ts';
import type { TransportOptions } from './transport.ts';

/**
 * What the control thread tells the reactors: plain, cloneable data. The truth lives on the control thread; a
 * reactor holds the last snapshot it was sent.
 */

export interface NamespaceSnapshot {
  readonly nsid: number;
  readonly bdev: BdevDescription;
  /** 32 hexadecimal digits, or empty. */
  readonly nguid: string;
  /** 16 hexadecimal digits, or empty. */
  readonly eui64: string;
  readonly uuid: string;
  readonly anagrpid: number;
  /** NQNs of the hosts that see it, or null: all do. */
  readonly visible_to: readonly string[] | null;
  readonly access: ReservationAccess;
  /** Its reservations can persist through a loss of power. */
  readonly ptpl: boolean;
}

export type SubsystemType = 'NVMe' | 'Discovery';

export interface SubsystemSnapshot {
  /** Number of this subsystem, never used again by the process. */
  readonly id: number;
  readonly nqn: string;
  readonly subtype: SubsystemType;
  readonly serial_number: string;
  readonly model_number: string;
  readonly max_namespaces: number;
  /** Blocks; 0: no limit. */
  readonly dmrsl: number;
  /** Power of two of memory pages; 0: no limit. */
  readonly wzsl: number;
  /** Controllers are static (Base 2.0, 3.1.1): hosts may ask for one by its CNTLID. */
  readonly static_controllers: boolean;
  /** CAP.NSSRS: a host may reset the subsystem. */
  readonly resets: boolean;
  readonly namespaces: readonly NamespaceSnapshot[];
  /** ANA states of each listener, or null: ANA is not reported. */
  readonly ana: readonly AnaListener[] | null;
  /** Counts changes of the ANA log page. */
  readonly ana_chgcnt: number;
  /** Shared counters, a row for each reactor: see {@link SubsystemCounters}. */
  readonly counters: SharedArrayBuffer;
}

/** What holds for the whole target. */
export interface TargetSnapshot {
  readonly firmware_revision: string;
  /** Command Retry Delay Times, units of 100 ms. */
  readonly crdt: readonly [number, number, number];
  readonly limits: Limits;
  /** Memory of {@link SharedCounts}. */
  readonly counts: SharedArrayBuffer;
  /** Indices of the reactors that serve connections. */
  readonly serving: readonly number[];
  /** Bits of the DH-HMAC-CHAP hash functions and groups that hosts may use. */
  readonly dhchap_digests: number;
  readonly dhchap_dhgroups: number;
  /** Set of AdminPassthru: Admin commands that go to the device of a subsystem that is for one. */
  readonly admin_passthru: number;
}

/** A Connect command that the reactor has checked as far as it can; answered with {@link ConnectAnswer}. */
export interface ConnectQuestion {
  readonly subnqn: string;
  readonly hostnqn: string;
  /** 32 hexadecimal digits. */
  readonly hostid: string;
  readonly cntlid: number;
  readonly qid: number;
  readonly thread: string;
  /** The queue pair's number on its reactor. */
  readonly qpair: number;
  readonly trtype: string;
  readonly adrfam: string;
  readonly traddr: string;
  readonly trsvcid: string;
  readonly peer_traddr: string;
  readonly peer_trsvcid: string;
  readonly peer_adrfam: string;
  /** Identity of the pre-shared key that TLS was established with, or null: a plain connection. */
  readonly psk_identity: string | null;
}

/** A controller as the control thread hands it to a reactor that gets a queue pair of it. */
export interface ControllerGrant {
  /** Number of this controller, never used again by the process. */
  readonly id: number;
  readonly cntlid: number;
  readonly subsystem: number;
  /** Number of the listener that it came through, within its subsystem; -1: none of it. */
  readonly listener: number;
  readonly hostnqn: string;
  readonly hostid: string;
  /** Words of {@link ControllerState}. */
  readonly state: SharedArrayBuffer;
  readonly transport: TransportOptions;
  /** The queue pair must authenticate itself before anything else. */
  readonly authenticate: boolean;
}

export type ConnectAnswer =
  | { readonly grant: ControllerGrant }
  /** A refusal: status, and dword 0 (offset of the invalid parameter) where it has one. */
  | { readonly status: number; readonly dw0: number; readonly reason: string };

/** A queue pair has gone. */
export interface QpairGone {
  readonly controller: number;
  readonly qid: number;
}

/** A part of the discovery log page that a host reads; answered with {@link DiscoveryPart}. */
export interface DiscoveryQuestion {
  readonly hostnqn: string;
  readonly address: TransportAddress;
  /** Log Specific Parameter: bits of `discoveryLsp`. */
  readonly lsp: number;
  readonly offset: number;
  readonly length: number;
  /** Generation of the page whose beginning the host has read, or -1. */
  readonly genctr: number;
}

export interface DiscoveryPart {
  readonly genctr: number;
  /** There is no newer page than the one that this is a part of. */
  readonly current: boolean;
  /** Bytes of the whole page. */
  readonly total: number;
  readonly bytes: Uint8Array;
}

/** Which authentication: of this queue pair, with the host's transaction identifier. */
interface AuthPlace {
  readonly controller: number;
  readonly qid: number;
  readonly tId: number;
}

/** A queue pair's authentication has come this far. */
export interface AuthProgress {
  readonly controller: number;
  readonly qid: number;
  readonly state: string;
}

/** A host is to be challenged; answered with {@link AuthChallengeAnswer}. */
export interface AuthChallengeQuestion extends AuthPlace {
  readonly hash: number;
  readonly dhgroup: number;
}
export interface AuthChallengeAnswer {
  readonly seqnum: number;
  readonly cval: Uint8Array;
  /** The controller's public value, or empty with the null group. */
  readonly dhv: Uint8Array;
}

/** A host has replied to its challenge. */
export interface AuthReplyQuestion extends AuthPlace {
  readonly rval: Uint8Array;
  readonly cval: Uint8Array | null;
  readonly seqnum: number;
  readonly dhv: Uint8Array;
}
export type AuthReplyAnswer =
  /** It has proved itself; the response to its own challenge, if it sent one. */
  | { readonly rval: Uint8Array | null }
  /** It has not: explanation for the host, and the reason for the log. */
  | { readonly failure: number; readonly reason: string };

/** A reservation command, or a question about the reservations: answered with {@link ReservationAnswer}. */
export interface ReservationQuestion {
  readonly subsystem: number;
  readonly nsid: number;
  readonly hostid: string;
  readonly command: ReservationCommand | 'report' | 'persistence';
}

export interface ReservationAnswer {
  readonly status: number;
  /** Of a report. */
  readonly data?: Uint8Array;
  /** Of a question about persistence: the Persist Through Power Loss State. */
  readonly ptpl?: boolean;
}

/** What a reactor is told when the reservations of a namespace have changed. */
export interface ReservationChange {
  /** Of the subsystem. */
  readonly id: number;
  readonly nsid: number;
  /** The bdev of the namespace that is meant: another may have its NSID by now. */
  readonly bdev: number;
  readonly access: ReservationAccess;
  /** Identifiers of hosts whose commands are to be aborted. */
  readonly aborts: readonly string[];
}
