import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { PciAddress } from './bench.ts';

/** What `npm run test:conformance` was told, which scripts/test-conformance.mjs puts into CONFORMANCE. */
interface Given {
  /** ADDRESS:PORT of a target that runs, or `trtype:VFIOUSER traddr:PATH`. */
  readonly address?: string;
  readonly subnqn?: string;
  readonly hostnqn?: string;
  /** A subsystem there that does not allow our host. */
  readonly 'closed-subnqn'?: string;
  /** A command that starts a target with SPDK's options and methods. */
  readonly program?: string;
  /** Where the report goes. */
  readonly json?: string;
  readonly seed?: number;
  readonly rounds?: number;
}

export const given = JSON.parse(process.env['CONFORMANCE'] || '{}') as Given;

/** The seed of this run. */
export const seed: number = given.seed ?? Math.floor(Math.random() * 0x7fff_ffff);

/** Exchanges that the fuzzer changes. */
export const rounds: number = given.rounds ?? 150;

/** A target that is not ours: what it does otherwise is told, and does not fail. */
export const foreign: boolean = given.address !== undefined || given.program !== undefined;

/**
 * Host and port of `ADDRESS:PORT`, IPv6 addresses in brackets; or the sockets of `trtype:VFIOUSER traddr:PATH`, a path for each
 * function of the subsystem: the folder of its socket `cntrl`, or the socket. Throws an Error that says what to give.
 */
export function parseAddress(text: string): { host: string; port: number } | PciAddress {
  const words = text.trim().split(/\s+/);
  if (words.some((word) => /^trtype:vfiouser$/i.test(word))) {
    const paths = words.filter((word) => word.startsWith('traddr:')).map((word) => word.slice(7));
    if (paths.length === 0)
      throw new Error(`--address ${text}: give the path too, as 'trtype:VFIOUSER traddr:/run/vm0'`);
    return { endpoints: paths.map((path) => (statSync(path).isDirectory() ? join(path, 'cntrl') : path)) };
  }
  const found = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  const port = Number(found?.[3]);
  if (found === null || port < 1 || port > 65_535)
    throw new Error(
      `--address ${text}: give ADDRESS:PORT, as 127.0.0.1:4420 or [::1]:4420, or 'trtype:VFIOUSER traddr:PATH'`,
    );
  return { host: found[1] ?? found[2]!, port };
}
