import {
  type BdevControlPlugin,
  BdevError,
  type BdevPluginContext,
  type BdevRegistry,
  Errno,
  uuidOf,
} from '@spdk-ts/bdev';
import { RpcError, rpcCode } from '@spdk-ts/rpc';
import { derivedSpec, type StackedKind, StackedModule } from '@spdk-ts/vbdev';
import type { DelayContext, Latencies } from './context.ts';
import { methods } from './schema.ts';

const MODULE = 'delay';

interface CreateParams extends Latencies {
  readonly name: string;
  readonly base_bdev_name: string;
  readonly uuid?: string;
}

const latenciesOf = (from: Latencies): Latencies => ({
  avg_read_latency: from.avg_read_latency,
  p99_read_latency: from.p99_read_latency,
  avg_write_latency: from.avg_write_latency,
  p99_write_latency: from.p99_write_latency,
});

const kind: StackedKind<CreateParams> = {
  module: MODULE,
  flag: 'vbdev_delay',
  follows_size: true,
  base: ({ base_bdev_name }) => base_bdev_name,
  key: ({ name }) => name,
  specs: (params, base, context) => [
    derivedSpec(base, {
      name: params.name,
      product_name: 'delay',
      uuid: params.uuid ?? uuidOf(`${MODULE} ${base.uuid}`),
      // Memory that a write was left in would be held for as long as the write is delayed.
      writes_at_once: false,
      context: { ...context, ...latenciesOf(params) } satisfies DelayContext,
    }),
  ],
  calls: (params, [part]) => {
    const { name, base_bdev_name } = params;
    const uuid = part?.uuid ?? params.uuid;
    const created = {
      ...latenciesOf(params),
      p99_read_latency: Math.max(params.p99_read_latency, params.avg_read_latency),
      p99_write_latency: Math.max(params.p99_write_latency, params.avg_write_latency),
    };
    const identity = { name, base_bdev_name, ...(uuid !== undefined && { uuid }) };
    const calls = [
      { method: 'bdev_delay_create', params: { ...identity, ...created } as Record<string, unknown> },
    ];
    // An update may set a p99 latency below the average, create may not.
    for (const latency_type of ['p99_read', 'p99_write'] as const) {
      const latency_us = params[`${latency_type}_latency`];
      if (latency_us < created[`${latency_type}_latency`])
        calls.push({
          method: 'bdev_delay_update_latency',
          params: { delay_bdev_name: name, latency_type, latency_us },
        });
    }
    return calls;
  },
  info: ({ name, uuid, context }) => {
    const delay = context as DelayContext;
    return { delay: { name, base_bdev_name: delay.base_name, uuid, ...latenciesOf(delay) } };
  },
};

function checkLatencies(params: CreateParams): void {
  for (const way of ['read', 'write'] as const) {
    const average = params[`avg_${way}_latency`];
    const p99 = params[`p99_${way}_latency`];
    if (p99 < average)
      throw new BdevError(
        Errno.EINVAL,
        `p99_${way}_latency is ${p99} µs, less than avg_${way}_latency of ${average} µs; give at least that`,
      );
  }
}

async function updateLatency(
  bdevs: BdevRegistry,
  module: StackedModule<CreateParams>,
  params: { delay_bdev_name: string; latency_type: string; latency_us: number },
): Promise<void> {
  const { delay_bdev_name: name, latency_type, latency_us } = params;
  const other = bdevs.get(name);
  // These two codes and texts are SPDK's.
  const missing =
    other === undefined
      ? new RpcError(rpcCode.invalidParams, 'The requested bdev does not exist.')
      : new RpcError(rpcCode.invalidRequest, 'The requested bdev is not a delay bdev.');
  const change = { [`${latency_type}_latency`]: latency_us };
  await module.change(
    other?.name ?? name,
    (before) => ({ ...before, ...change }),
    (before) => ({ ...before, ...change }),
    missing,
  );
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    const module = new StackedModule(bdevs, kind);
    bdevs.registerModule(module);
    rpc.register('bdev_delay_create', async (params) => {
      checkLatencies(params);
      await module.create(params);
      return params.name;
    });
    rpc.register('bdev_delay_delete', async ({ name }) => {
      await module.delete(name, new BdevError(Errno.ENODEV, `no delay bdev has the name "${name}"`));
      return true;
    });
    rpc.register('bdev_delay_update_latency', async (params) => {
      await updateLatency(bdevs, module, params);
      return true;
    });
  },
};
export default plugin;
