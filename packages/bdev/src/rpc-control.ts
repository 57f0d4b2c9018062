import { type Clock, systemClock, TICK_RATE } from '@spdk-ts/env';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { RpcServer } from '@spdk-ts/rpc';
import type { BdevDescription } from './description.ts';
import { BdevError } from './errors.ts';
import type { Histogram } from './histogram.ts';
import { ioStatJson } from './io-stat.ts';
import { Errno } from './io-status.ts';
import { ioTypeNames } from './io-type.ts';
import type { BdevRegistry } from './registry-control.ts';

const TICKS_PER_US = TICK_RATE / 1_000_000;

/** What registers handlers: the part of RpcServer that modules need. */
export type RpcRegistrar = Pick<RpcServer, 'register'>;

/** An answer with one of JSON-RPC's own codes. The class is loaded when it is needed: reactors never need it. */
async function refuse(code: number, message: string): Promise<never> {
  const { RpcError } = await import('@spdk-ts/rpc');
  throw new RpcError(code, message);
}

function found(registry: BdevRegistry, name: string): BdevDescription {
  const description = registry.get(name);
  if (description === undefined)
    throw new BdevError(
      Errno.ENODEV,
      `no bdev has the name, alias or UUID "${name}"; bdev_get_bdevs lists those that exist`,
    );
  return description;
}

/** Answers the methods `bdev_*` that concern every kind of bdev. `clock`: the reactors', if it is not the system's. */
export function registerBdevRpcs(
  rpc: RpcRegistrar,
  registry: BdevRegistry,
  _host: ReactorHost,
  clock: Clock = systemClock(),
): void {
  rpc.register('bdev_set_options', async (options) => {
    try {
      await registry.setOptions(options);
    } catch (error) {
      if (!(error instanceof BdevError)) throw error;
      await refuse(-32602, error.message.replace(/^Invalid argument: /, ''));
    }
    return true;
  });

  rpc.register('bdev_get_bdevs', async ({ name, timeout }) => {
    if (name === undefined) return registry.list().map((description) => registry.info(description));
    const description = await registry.waitFor(name, timeout ?? 0);
    return [registry.info(description ?? found(registry, name))];
  });

  rpc.register('bdev_examine', async ({ name }) => {
    await registry.examine(name);
    return true;
  });
  rpc.register('bdev_wait_for_examine', async () => {
    await registry.waitForExamine();
    return true;
  });

  registerStatRpcs(rpc, registry, clock);
  registerHistogramRpcs(rpc, registry);

  rpc.register('bdev_set_qd_sampling_period', async ({ name, period }) => {
    await registry.setQueueDepthPeriod(name, period);
    return true;
  });

  rpc.register('bdev_set_zone_state', async ({ name, zone_id, state }) => {
    await registry.wearZone(name, zone_id, state);
    return true;
  });

  rpc.register('bdev_set_qos_limit', async ({ name, ...limits }) => {
    await registry.setRateLimits(name, limits);
    return true;
  });
}

function registerStatRpcs(rpc: RpcRegistrar, registry: BdevRegistry, clock: Clock): void {
  rpc.register('bdev_get_iostat', async ({ names, per_channel, reset_mode }) => {
    if (per_channel === true && names?.length !== 1)
      throw new BdevError(
        Errno.EINVAL,
        `per_channel needs exactly one bdev in names, which has ${names?.length ?? 'none'}`,
      );
    for (const name of names ?? []) found(registry, name);
    const head = { tick_rate: TICK_RATE, ticks: clock.now() };
    if (per_channel === true) {
      const { name } = found(registry, names![0]!);
      const channels = await registry.channelIostat(name, reset_mode);
      return {
        ...head,
        name,
        channels: channels.map(({ thread_id, stat }) => ({ thread_id, ...ioStatJson(stat) })),
      };
    }
    const stats =
      names === undefined
        ? await registry.iostat(undefined, reset_mode)
        : (await Promise.all(names.map((name) => registry.iostat(name, reset_mode)))).flat();
    return {
      ...head,
      bdevs: stats.map(({ name, stat }) => ({ name, ...ioStatJson(stat), ...registry.queueDepth(name) })),
    };
  });

  rpc.register('bdev_reset_iostat', async ({ name, mode }) => {
    await registry.resetIostat(name, mode ?? 'all');
    return true;
  });
}

function registerHistogramRpcs(rpc: RpcRegistrar, registry: BdevRegistry): void {
  const counted = async (name: string): Promise<Histogram> => {
    const histogram = await registry.histogram(found(registry, name).name);
    return (
      histogram ??
      (await refuse(
        -32603,
        `Bad address: latencies of bdev "${name}" are not collected; call bdev_enable_histogram first`,
      ))
    );
  };

  rpc.register('bdev_enable_histogram', async ({ name, enable, opc, granularity, min_nsec, max_nsec }) => {
    const type = opc === undefined ? -1 : (ioTypeNames as readonly string[]).indexOf(opc);
    if (opc !== undefined && type < 0)
      await refuse(-32603, `Invalid Io type: opc is "${opc}"; give one of ${ioTypeNames.join(', ')}`);
    const options = {
      type,
      ...(granularity !== undefined && { granularity }),
      ...(min_nsec !== undefined && { min_nsec }),
      ...(max_nsec !== undefined && { max_nsec }),
    };
    await registry.setHistogram(name, enable ? options : null);
    return true;
  });

  rpc.register('bdev_get_histogram', async ({ name }) => {
    const { buckets, granularity, min_range, max_range } = await counted(name);
    const bytes = Buffer.alloc(buckets.length * 8);
    buckets.forEach((count, at) => {
      if (count > 0) bytes.writeBigUInt64LE(BigInt(count), at * 8);
    });
    return {
      histogram: bytes.toString('base64'),
      granularity,
      min_range,
      max_range,
      tsc_rate: TICK_RATE,
    };
  });

  rpc.register('bdev_get_histogram_borders', async ({ name, borders }) => {
    if (borders.length === 0)
      await refuse(-32603, 'Cannot allocate memory: borders is empty; give at least one');
    borders.forEach((border, at) => {
      if (at > 0 && border < borders[at - 1]!)
        throw new BdevError(
          Errno.EINVAL,
          `borders are not ascending: ${borders[at - 1]} comes before ${border}`,
        );
    });
    const histogram = await counted(name);
    return { borders_count: histogram.bordersCount(borders.map((border) => border * TICKS_PER_US)) };
  });
}
