import {
  type BdevControlPlugin,
  type BdevDescription,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  Errno,
  uuidOf,
} from '@spdk-ts/bdev';
import { derivedSpec, type StackedKind, StackedModule } from '@spdk-ts/vbdev';
import type { ErrorContext } from './context.ts';
import type { ErrorType } from './fault.ts';
import { type InjectedType, Injection, injectedTypes } from './injection.ts';
import { type Rule, ruleProblem } from './rules.ts';
import { methods } from './schema.ts';

const MODULE = 'error';

interface Params {
  readonly base_name: string;
  readonly uuid?: string;
  readonly seed: number;
  readonly rules: readonly Rule[];
  readonly run: number;
}

const nameOn = (base_name: string): string => `EE_${base_name}`;

const kind: StackedKind<Params> = {
  module: MODULE,
  flag: 'vbdev_error',
  follows_size: true,
  base: ({ base_name }) => base_name,
  key: ({ base_name }) => nameOn(base_name),
  specs: ({ base_name, uuid, seed, rules, run }, base, context) => [
    derivedSpec(base, {
      name: nameOn(base_name),
      product_name: 'Error Injection Disk',
      uuid: uuid ?? uuidOf(`${MODULE} ${base.uuid}`),
      // What is read may be changed, and a write may be held back for long.
      reads_in_place: false,
      writes_at_once: false,
      context: { ...context, injection: Injection.allocate(), seed, rules, run } satisfies ErrorContext,
    }),
  ],
  calls: ({ base_name, uuid: given, seed, rules }, [part]) => {
    const uuid = part?.uuid ?? given;
    const create = {
      method: 'bdev_error_create',
      params: { base_name, ...(uuid !== undefined && { uuid }) },
    };
    if (rules.length === 0) return [create];
    const name = nameOn(base_name);
    return [create, { method: 'bdev_error_set_rules', params: { name, seed, rules } }];
  },
  info: ({ context }) => ({ error_disk: { base_bdev: (context as ErrorContext).base_name } }),
};

interface InjectParams {
  readonly name: string;
  readonly io_type: InjectedType | 'clear' | 'all';
  readonly error_type: Exclude<ErrorType, 'none'>;
  readonly nvme_sct?: number;
  readonly nvme_sc?: number;
  readonly num?: number;
  readonly queue_depth?: number;
  readonly corrupt_offset?: number;
  readonly corrupt_value?: number;
}

/** A rule, the I/Os that it was for, and those that it hit, on all reactors. */
interface RuleCounts {
  rule: Rule;
  matched: number;
  hits: number;
}

const missing = (name: string): BdevError =>
  new BdevError(Errno.ENODEV, `no error bdev has the name "${name}"; bdev_error_create makes EE_<base>`);

class ErrorControl {
  private readonly bdevs: BdevRegistry;
  private readonly module: StackedModule<Params>;
  private runs = 0;

  constructor(bdevs: BdevRegistry) {
    this.bdevs = bdevs;
    this.module = new StackedModule(bdevs, kind);
    bdevs.registerModule(this.module);
  }

  private found(name: string): BdevDescription {
    const description = this.bdevs.get(name);
    if (description?.module !== MODULE) throw missing(name);
    return description;
  }

  private injection(name: string): Injection {
    return new Injection((this.found(name).context as ErrorContext).injection);
  }

  async create({ base_name, uuid }: { base_name: string; uuid?: string }): Promise<void> {
    const empty = { seed: 1, rules: [], run: 0 };
    await this.module.create({ base_name, ...(uuid !== undefined && { uuid }), ...empty });
  }

  delete(name: string): Promise<void> {
    return this.module.delete(name, missing(name));
  }

  inject(params: InjectParams): void {
    const { name, io_type, error_type, num = 1, queue_depth = 0 } = params;
    const fault = {
      error_type,
      latency_us: 0,
      nvme_sct: params.nvme_sct ?? 0,
      nvme_sc: params.nvme_sc ?? 0,
      corrupt_offset: params.corrupt_offset ?? 0,
      corrupt_value: params.corrupt_value ?? 0,
    };
    const injection = this.injection(name);
    const status = fault.nvme_sct !== 0 || fault.nvme_sc !== 0;
    if (status !== (error_type === 'nvme_failure'))
      throw new BdevError(
        Errno.EINVAL,
        `nvme_sct or nvme_sc should be specified for NVMe error injection: error_type is ${error_type}, ` +
          `nvme_sct ${fault.nvme_sct}, nvme_sc ${fault.nvme_sc}`,
      );
    if (error_type === 'corrupt_data' && fault.corrupt_value === 0)
      throw new BdevError(Errno.EINVAL, 'corrupt_value is 0, which changes nothing; give 1 to 255');
    if (io_type === 'clear') injection.clear();
    else
      for (const type of io_type === 'all' ? injectedTypes : [io_type])
        injection.set(type, num, queue_depth, fault);
  }

  async resumePending(name: string): Promise<void> {
    const { id } = this.found(name);
    this.injection(name).clear('pending');
    await this.bdevs.host.broadcast('bdev_error', 'resume', { id });
  }

  async setRules(name: string, rules: readonly Rule[], seed: number): Promise<void> {
    rules.forEach((rule, index) => {
      const problem = ruleProblem(rule);
      if (problem !== null) throw new BdevError(Errno.EINVAL, `rules[${index}]${problem}`);
    });
    const change = { rules, seed, run: ++this.runs };
    await this.module.change(
      name,
      (before) => ({ ...before, ...change }),
      (before) => ({ ...before, ...change }),
      missing(name),
    );
  }

  async rules(name: string): Promise<{ seed: number; rules: RuleCounts[] }> {
    const { id, context } = this.found(name);
    const { seed, rules } = context as ErrorContext;
    const answers = (await this.bdevs.host.broadcast('bdev_error', 'counts', { id })) as {
      matched: number;
      hits: number;
    }[][];
    const sum = (index: number, key: 'matched' | 'hits'): number =>
      answers.reduce((total, counts) => total + (counts[index]?.[key] ?? 0), 0);
    return {
      seed,
      rules: rules.map((rule, index) => ({ rule, matched: sum(index, 'matched'), hits: sum(index, 'hits') })),
    };
  }
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    const control = new ErrorControl(bdevs);
    rpc.register('bdev_error_create', async (params) => {
      await control.create(params);
      return true;
    });
    rpc.register('bdev_error_delete', async ({ name }) => {
      await control.delete(name);
      return true;
    });
    rpc.register('bdev_error_inject_error', (params) => {
      control.inject(params);
      return true;
    });
    rpc.register('bdev_error_resume_pending', async ({ name }) => {
      await control.resumePending(name);
      return true;
    });
    rpc.register('bdev_error_set_rules', async ({ name, rules, seed }) => {
      await control.setRules(name, rules, seed ?? 1);
      return true;
    });
    rpc.register('bdev_error_get_rules', ({ name }) => control.rules(name));
  },
};
export default plugin;
