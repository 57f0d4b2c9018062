import { readFileSync } from 'node:fs';
import { availableParallelism, platform } from 'node:os';
import { native, nativeUnavailable } from '@spdk-ts/native';
import type { UringFeature } from '@spdk-ts/reactor';
import type { Application } from './application.ts';

/** One thing that this process can or cannot do, and why not. */
export interface Capability {
  readonly name: string;
  readonly available: boolean;
  /** Why it is not available. */
  readonly reason?: string;
  /** Which variant of it is used, or how far it goes. */
  readonly detail?: string;
}

/** `why` is empty for what is available. */
export function capability(name: string, why: string, detail = ''): Capability {
  if (why !== '') return { name, available: false, reason: why };
  return detail === '' ? { name, available: true } : { name, available: true, detail };
}

/** What io_uring offers here; where there is no ring, every feature of it is absent for the same reason. */
const uringNames = [
  'io_uring',
  'uring_deferred_taskrun',
  'uring_multishot_accept',
  'uring_multishot_receive',
  'uring_zero_copy_send',
  'uring_registered_buffers',
] as const;

/** What was found on this machine: nothing here is needed, everything here makes something faster. */
export async function capabilities({ host, plugins }: Application): Promise<Capability[]> {
  const addon = native === null ? `needs the native addon, which is ${nativeUnavailable}` : '';
  const uring = (await host.call(0, 'reactor', 'uringUnavailable')) as string;
  const features = (await host.call(0, 'reactor', 'uringFeatures')) as UringFeature[];
  const notPinned = (await host.broadcast('reactor', 'notPinned')) as string[];
  const ofPlugins = await Promise.all(plugins.map((plugin) => plugin.capabilities?.(host) ?? []));
  return [
    capability('native_addon', nativeUnavailable),
    capability('cpu_pinning', notPinned.find((why) => why !== '') ?? ''),
    capability('connection_spreading', addon),
    capability('hole_punching', addon),
    ...uringNames.map((name) => {
      const { reason = uring, detail = '' } = features.find((feature) => feature.name === name) ?? {};
      return capability(name, reason, detail);
    }),
    capability('sock_posix', ''),
    capability('sock_uring', uring),
    ...ofPlugins.flat(),
  ];
}

/** The start-up lines that say which I/O paths are used, and why others are not. */
export async function describeCapabilities(app: Application): Promise<string[]> {
  const all = await capabilities(app);
  const present = all.filter((one) => one.available);
  const lines = [`I/O paths: ${present.map(({ name }) => name).join(', ')}`];
  const ring = present.find(({ name }) => name === 'io_uring');
  if (ring?.detail !== undefined) lines.push(`io_uring: ${ring.detail}`);
  // Several things that are absent for one reason are one line.
  const reasons = new Map<string, string[]>();
  for (const { name, reason } of all)
    if (reason !== undefined) reasons.set(reason, [...(reasons.get(reason) ?? []), name]);
  if (native === null) lines.push(`native addon: ${nativeUnavailable}; the portable path is used`);
  else
    for (const [reason, names] of reasons)
      lines.push(`${names.join(', ')} ${names.length > 1 ? 'are' : 'is'} not available: ${reason}`);
  return lines;
}

/** Number of CPUs that the process may use. */
export const cpuCount = (): number => availableParallelism();

/** A core's time in interrupts, kernel and user space, clock ticks, from /proc/stat; zeroes elsewhere. */
export function coreTimes(lcore: number): { irq: number; sys: number; usr: number } {
  const zero = { irq: 0, sys: 0, usr: 0 };
  if (platform() !== 'linux') return zero;
  const line = new RegExp(`^cpu${lcore} (.*)$`, 'm').exec(readFileSync('/proc/stat', 'utf8'))?.[1];
  if (line === undefined) return zero;
  const [usr = 0, , sys = 0, , , irq = 0] = line.trim().split(/\s+/).map(Number);
  return { irq, sys, usr };
}
