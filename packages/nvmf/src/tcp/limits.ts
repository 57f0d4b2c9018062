import { TICKS_PER_MS } from '@spdk-ts/env';
import type { Limits } from '../limits.ts';

/** In-capsule data that admin and Fabrics commands may bring, whatever the option for I/O says (bytes). */
export const ADMIN_CAPSULE_DATA_MAX = 8192;

/** How long a connection may take over things, ticks. Tests make them shorter. */
export interface TcpTimeouts {
  /** From accept to a complete ICReq. */
  readonly icreq: number;
  /** From accept to the end of the TLS handshake. */
  readonly tls: number;
  /** From ICResp to a Connect command. */
  readonly connect: number;
  /** From C2HTermReq until the host has closed: at most 30 s (TCP Transport 1.0, 3.5). */
  readonly terminate: number;
  /** Without a byte taken by a host that we have bytes for. */
  readonly send: number;
  /** Without a byte more of a PDU that has begun. */
  readonly receive: number;
  /** For a PDU to arrive whole, and for what is sent to be taken, however steadily it goes on. */
  readonly transfer: number;
  /** The same for data that go to a bdev's own memory, while its subsystem waits for the end of what it has begun. */
  readonly lent: number;
  /** How long in-capsule data waits for a buffer before its command is sent back for a retry. */
  readonly memory: number;
}

const second = 1000 * TICKS_PER_MS;

export const defaultTcpTimeouts: TcpTimeouts = {
  icreq: 10 * second,
  tls: 10 * second,
  connect: 30 * second,
  terminate: 10 * second,
  send: 30 * second,
  receive: 30 * second,
  transfer: 300 * second,
  lent: 2 * second,
  memory: 2 * second,
};

/** The times that the target's limits give. */
export function timeoutsOf(limits: Limits): TcpTimeouts {
  const stall = limits.stall_timeout_ms * TICKS_PER_MS;
  return {
    ...defaultTcpTimeouts,
    icreq: limits.icreq_timeout_ms * TICKS_PER_MS,
    connect: limits.connect_timeout_ms * TICKS_PER_MS,
    send: stall,
    receive: stall,
    lent: Math.min(defaultTcpTimeouts.lent, stall),
    transfer: limits.transfer_timeout_ms * TICKS_PER_MS,
  };
}

/** How often deadlines are looked at. */
export const DEADLINE_PERIOD_US = 500_000;

/** Complaints about hosts that are logged in one deadline period; the rest are counted. */
export const COMPLAINTS_MAX = 10;
