/** What the suite is made of: checks, and how one is told from what was seen. */
import { statusCode } from '@spdk-ts/nvme-spec';
import type { Completion } from '../host/index.ts';
import type { Bench } from './bench.ts';
import { describe, describeStatus } from './codes.ts';
import type { Facts, Transport } from './facts.ts';
import type { PciBench } from './pci-bench.ts';
import type { TcpBench } from './tcp-bench.ts';

/** How strictly the specification asks for it. */
export type Severity = 'shall' | 'should' | 'may';

export interface Outcome {
  readonly ok: boolean;
  /** In words. */
  readonly seen: string;
}

/** One thing that a target is held to. */
export interface Check {
  /** Area, subject and detail, with points between: never used for anything else once it was given. */
  readonly id: string;
  /** Specification and section: "Base 2.0, 6.3". */
  readonly section: string;
  readonly severity: Severity;
  /** What is done. */
  readonly title: string;
  /** What should be seen. */
  readonly expected: string;
  /** It is about what only this transport has; else about what every controller has. */
  readonly over?: Transport | undefined;
  /** Why it does not apply to a target; empty: it does. */
  readonly unless?: ((facts: Facts) => string) | undefined;
  /** How long it may take, where ten seconds are too few. */
  readonly seconds?: number | undefined;
  /** It mostly waits: it runs beside the others. */
  readonly waits?: boolean | undefined;
  /**
   * What it sees depends on nothing but its own connections, not on what the blocks hold either: it may run at once with
   * others of its area that say so too, so that a target which answers none of them is waited for once.
   */
  readonly apart?: boolean | undefined;
  /** Whatever it throws has been seen as well, and was not expected. */
  run(bench: Bench): Promise<Outcome>;
}

export type Unless = (facts: Facts) => string;

export const holds = (ok: boolean, seen: string): Outcome => ({ ok, seen });

/** All of them; what is told is what was wrong, if anything was. */
export function all(...outcomes: readonly Outcome[]): Outcome {
  const wrong = outcomes.filter(({ ok }) => !ok);
  const told = [...new Set((wrong.length > 0 ? wrong : outcomes).map(({ seen }) => seen))];
  return { ok: wrong.length === 0, seen: told.join('; ') };
}

/** Names what an outcome is about. */
export const of = (what: string, { ok, seen }: Outcome): Outcome => ({ ok, seen: `${what}: ${seen}` });

/** A completion with one of these codes. */
export function hasStatus(completion: Completion, codes: readonly number[], fabricsCommand = false): Outcome {
  return holds(codes.includes(statusCode(completion.status)), describe(completion, fabricsCommand));
}

export const succeeded = (completion: Completion): Outcome => hasStatus(completion, [0]);

/** Any status but success. */
export const refused = (completion: Completion): Outcome =>
  holds(completion.status !== 0, describe(completion));

export const wordsOf = (codes: readonly number[], fabricsCommand = false): string =>
  codes.map((code) => describeStatus(code, fabricsCommand)).join(' or ');

export interface Row {
  readonly id: string;
  readonly section: string;
  readonly severity?: Severity;
  readonly title: string;
  readonly unless?: Unless | undefined;
  readonly seconds?: number;
  readonly waits?: boolean;
  readonly apart?: boolean;
}

/** Why a check does not apply to a target; empty: it does. */
export function inapplicable({ over, unless }: Check, facts: Facts): string {
  if (over === undefined || over === facts.transport) return unless?.(facts) ?? '';
  return over === 'TCP'
    ? 'it is about PDUs, capsules, Fabrics commands, or what the transport’s own SGLs say'
    : 'it is about registers and queues of a PCI function';
}

/** Makes checks for one bench. */
function maker<B extends Bench>(over: Transport | undefined) {
  type Run = (bench: B) => Promise<Outcome> | Outcome;
  /** A check of its own. */
  const check = (row: Row, expected: string, run: Run): Check => ({
    ...{ severity: 'shall', over, ...row, expected },
    run: async (bench) => run(bench as B),
  });
  /** A check that a command is answered with one of these codes. */
  const answers = (
    row: Row,
    codes: number | readonly number[],
    send: (bench: B) => Promise<Completion>,
    fabricsCommand = false,
  ): Check => {
    const list = typeof codes === 'number' ? [codes] : codes;
    return check(row, wordsOf(list, fabricsCommand), async (bench) =>
      hasStatus(await send(bench), list, fabricsCommand),
    );
  };
  return { check, answers };
}

export const { check, answers } = maker<Bench>(undefined);
/** Of what only TCP has. */
export const { check: tcpCheck, answers: tcpAnswers } = maker<TcpBench>('TCP');
/** Of what only PCI functions have. */
export const { check: pciCheck, answers: pciAnswers } = maker<PciBench>('PCI');
