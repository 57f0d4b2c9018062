import { sgls } from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { QpairAuthentication } from './qpair-authentication.ts';
import type { NvmfRequest } from './request.ts';

/** Where a queue pair was connected from and to, for statistics and discovery. */
export interface TransportAddress {
  readonly trtype: string;
  readonly adrfam: string;
  readonly traddr: string;
  readonly trsvcid: string;
}

/** What a controller says of itself because of its transport (Base 2.0, Identify Controller). */
export interface TransportTraits {
  /**
   * Commands and data are in the host's memory (PCI Express): its registers are there before any queue and for as long
   * as the function is, so no association times out; nothing travels in capsules.
   */
  readonly memory_based: boolean;
  readonly vid: number;
  /** SGLS. */
  readonly sgls: number;
  /** Bits of OACS for what the transport carries out. */
  readonly oacs: number;
}

const VENDOR = 0x8086;
/** Of transports whose queue pairs are connections. */
export const fabricsTraits: TransportTraits = {
  memory_based: false,
  vid: VENDOR,
  sgls: sgls.supported | sgls.offset | sgls.transportDataBlock,
  oacs: 0,
};

/**
 * A queue pair as the controller sees it: it knows nothing of how commands arrive or answers leave. Each
 * transport extends it. It lives on one poll group.
 */
export abstract class NvmfQpair {
  /** Unique on its reactor. */
  readonly id: number;
  readonly group: NvmfPollGroup;
  /** -1 until Connect. 0: admin queue. */
  qid = -1;
  /** Entries of the submission queue (SQSIZE + 1), and the head as the host will be told. */
  sqSize = 0;
  sqhd = 0;
  /** Connect asked for no SQ flow control (CATTR bit 2). */
  sqFlowControlDisabled = false;
  /** Null until Connect and, where the host must authenticate itself, until it has. */
  controller: NvmfController | null = null;
  /** Its authentication, if it must or does authenticate itself. */
  auth: QpairAuthentication | null = null;
  /** Set once the transport has begun to end it: nothing new is executed. */
  disconnecting = false;
  /** Requests that are executing. */
  outstanding = 0;
  /** Commands that have begun, modulo 2^30; and how many of them {@link Activity} has seen. */
  commands = 0;
  commandsSeen = 0;
  /** For {@link FusedCommands}: whether the last command that arrived was the first of a fused operation, and which. */
  fusing = 0;
  fusedFirst: NvmfRequest | null = null;

  abstract readonly trtype: string;
  /** Largest data transfer, bytes. */
  abstract readonly maxIoSize: number;
  /** Commands that the transport can hold at once. */
  abstract readonly maxQueueDepth: number;
  abstract readonly listenAddress: TransportAddress;
  abstract readonly peerAddress: TransportAddress;
  /** Identity of the pre-shared key of its TLS connection; null: it is plain. */
  readonly pskIdentity: string | null = null;

  readonly traits: TransportTraits;

  constructor(id: number, group: NvmfPollGroup, traits: TransportTraits = fabricsTraits) {
    this.traits = traits;
    this.id = id;
    this.group = group;
  }

  /**
   * The controller has completed a request: send its data (if it succeeded and goes to the host) and its
   * completion, then give the request back with {@link NvmfPollGroup.releaseRequest} once its memory may be reused.
   */
  abstract sendCompletion(request: NvmfRequest): void;

  /** Ends the connection. Requests in flight still complete, into nothing. `reason` is logged. */
  abstract disconnect(reason: string): void;

  /** The outstanding request with this CID, or null. */
  abstract findRequest(cid: number): NvmfRequest | null;

  /** Every request object that there is, those that no command uses included: for what must find commands. */
  abstract get allRequests(): readonly NvmfRequest[];

  /** A request that the transport still holds (its data has not arrived): completes it as aborted; true if it did. */
  abstract abortHeld(request: NvmfRequest): boolean;
}
