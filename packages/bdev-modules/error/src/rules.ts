import { IoType } from '@spdk-ts/bdev';
import { Random } from '@spdk-ts/env';
import type { ErrorType, Fault } from './fault.ts';

const ruleTypes = {
  read: IoType.READ,
  write: IoType.WRITE,
  unmap: IoType.UNMAP,
  flush: IoType.FLUSH,
  write_zeroes: IoType.WRITE_ZEROES,
  compare: IoType.COMPARE,
  copy: IoType.COPY,
} as const;

/** One rule of bdev_error_set_rules, as it was given. */
export interface Rule {
  readonly io_type?: keyof typeof ruleTypes | 'all';
  readonly first_block?: number;
  readonly num_blocks?: number;
  readonly skip?: number;
  readonly every?: number;
  readonly pattern?: string;
  readonly rate?: number;
  readonly count?: number;
  readonly error_type?: Exclude<ErrorType, 'none'>;
  readonly latency_us?: number;
  readonly nvme_sct?: number;
  readonly nvme_sc?: number;
  readonly corrupt_offset?: number;
  readonly corrupt_value?: number;
}

/** What is wrong with a rule, with the parameter and what would be right; null: nothing. */
export function ruleProblem(rule: Rule): string | null {
  const { error_type, latency_us = 0, rate = 1, every, pattern, nvme_sct = 0, nvme_sc = 0 } = rule;
  if (error_type === undefined && latency_us === 0)
    return 'does nothing; give an error_type, or a latency_us above 0';
  if (!(rate >= 0 && rate <= 1)) return `.rate is ${rate}; give a number from 0 to 1`;
  if (every === 0) return '.every is 0; give 1 for each I/O, 2 for each second one';
  if (pattern !== undefined && !/^[x.]*x[x.]*$/.test(pattern))
    return `.pattern is ${JSON.stringify(pattern)}; give a string of "x" (hit) and "." (pass) with at least one "x"`;
  if (pattern !== undefined && every !== undefined) return ' has both pattern and every; give one of them';
  if (rule.num_blocks === 0) return '.num_blocks is 0; leave it out for a range to the end';
  const status = nvme_sct !== 0 || nvme_sc !== 0;
  if (status !== (error_type === 'nvme_failure'))
    return error_type === 'nvme_failure'
      ? ' has neither nvme_sct nor nvme_sc; give at least one above 0'
      : ' has an NVMe status; it needs error_type "nvme_failure"';
  if (latency_us > 0 && (error_type === 'pending' || error_type === 'nomem'))
    return ` has a latency_us, which error_type "${error_type}" does not use; leave it out`;
  if (rule.corrupt_value === 0) return '.corrupt_value is 0, which changes nothing; give 1 to 255';
  return null;
}

/** A rule at work. */
class ActiveRule {
  readonly fault: Fault;
  matched = 0;
  hits = 0;
  private readonly types: number;
  private readonly first: number;
  private readonly end: number;
  private readonly skip: number;
  private readonly every: number;
  private readonly pattern: string;
  private readonly rate: number;
  private readonly count: number;
  private readonly random: Random;

  constructor(rule: Rule, random: Random) {
    const { io_type = 'all' } = rule;
    this.types = io_type === 'all' ? -1 : 1 << ruleTypes[io_type];
    this.first = rule.first_block ?? 0;
    this.end = rule.num_blocks === undefined ? Number.POSITIVE_INFINITY : this.first + rule.num_blocks;
    this.skip = rule.skip ?? 0;
    this.every = rule.every ?? 1;
    this.pattern = rule.pattern ?? '';
    this.rate = rule.rate ?? 1;
    this.count = rule.count ?? Number.POSITIVE_INFINITY;
    this.random = random;
    this.fault = {
      error_type: rule.error_type ?? 'none',
      latency_us: rule.latency_us ?? 0,
      nvme_sct: rule.nvme_sct ?? 0,
      nvme_sc: rule.nvme_sc ?? 0,
      corrupt_offset: rule.corrupt_offset ?? 0,
      corrupt_value: rule.corrupt_value ?? 0xff,
    };
  }

  hitsIo(type: number, first: number, blocks: number): boolean {
    if ((this.types & (1 << type)) === 0) return false;
    if (first >= this.end || first + blocks <= this.first) return false;
    const turn = this.matched++ - this.skip;
    if (turn < 0 || this.hits >= this.count) return false;
    if (this.pattern !== '' && this.pattern[turn % this.pattern.length] !== 'x') return false;
    if (this.pattern === '' && (turn + 1) % this.every !== 0) return false;
    if (this.rate < 1 && this.random.u32() >= this.rate * 0x1_0000_0000) return false;
    this.hits++;
    return true;
  }
}

/** The rules of one error bdev on one reactor: what they hit depends on nothing but the seed and the I/O before. */
export class RuleSet {
  private readonly rules: ActiveRule[];

  /** `seed`: 32 bits. `reactor`: its index, so that reactors differ. */
  constructor(rules: readonly Rule[], seed: number, reactor: number) {
    this.rules = rules.map(
      (rule, index) => new ActiveRule(rule, new Random(seed + (reactor * 256 + index) * 0x1_0000_0000)),
    );
  }

  /** What is to happen to an I/O: what the first rule says that hits it; null if none does. */
  decide(type: number, first: number, blocks: number): Fault | null {
    const { rules } = this;
    for (let i = 0; i < rules.length; i++) if (rules[i]!.hitsIo(type, first, blocks)) return rules[i]!.fault;
    return null;
  }

  /** For each rule: the I/Os it was for, and those that it hit. */
  get counts(): { matched: number; hits: number }[] {
    return this.rules.map(({ matched, hits }) => ({ matched, hits }));
  }
}
