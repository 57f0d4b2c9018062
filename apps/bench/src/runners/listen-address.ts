import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Trtype } from '../scenario/types.ts';
import type { Scope } from '../scope.ts';

export const SUBSYSTEM_NQN = 'nqn.2026-11.io.spdk-ts.bench:disk0';
/** Of TCP listeners. */
export const ADDRESS = '127.0.0.1';

/** Where a target listens, as JSON-RPC has it. */
export interface ListenAddress {
  readonly trtype: Trtype;
  readonly adrfam?: 'IPv4';
  readonly traddr: string;
  readonly trsvcid: string;
}

/** A TCP port of the loopback address that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, ADDRESS);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

export const tcpAddress = (port: number): ListenAddress => ({
  ...{ trtype: 'TCP', adrfam: 'IPv4', traddr: ADDRESS, trsvcid: String(port) },
});

/** An address of the transport that nobody listens at: a free port, or an empty folder of the scope. */
export async function freeAddress(trtype: Trtype, scope: Scope): Promise<ListenAddress> {
  if (trtype === 'TCP') return tcpAddress(await freePort());
  const traddr = join(scope.directory, 'vfio-user');
  mkdirSync(traddr, { recursive: true });
  return { trtype, traddr, trsvcid: '0' };
}

/** The address as initiators take it (-r). */
export function transportId({ trtype, adrfam, traddr, trsvcid }: ListenAddress): string {
  const where =
    adrfam === undefined ? `traddr:${traddr}` : `adrfam:${adrfam} traddr:${traddr} trsvcid:${trsvcid}`;
  return `trtype:${trtype} ${where} subnqn:${SUBSYSTEM_NQN}`;
}
