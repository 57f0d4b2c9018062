/** What `npm run test:conformance` was told, which scripts/test-conformance.mjs puts into CONFORMANCE. */
interface Given {
  /** ADDRESS:PORT of a target that runs. */
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

/** Host and port of `ADDRESS:PORT`; IPv6 addresses in brackets. Throws an Error that says what to give. */
export function parseAddress(text: string): { host: string; port: number } {
  const found = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  const port = Number(found?.[3]);
  if (found === null || port < 1 || port > 65_535)
    throw new Error(`--address ${text}: give ADDRESS:PORT, as 127.0.0.1:4420 or [::1]:4420`);
  return { host: found[1] ?? found[2]!, port };
}
