import { readFileSync } from 'node:fs';
import { availableParallelism, platform } from 'node:os';
import { aioUnavailable } from '@spdk-ts/bdev-aio';
import { native, nativeUnavailable } from '@spdk-ts/native';
import type { ReactorHost } from '@spdk-ts/reactor';

/** One thing that this process can or cannot do, and why not. */
export interface Capability {
  readonly name: string;
  readonly available: boolean;
  readonly reason?: string;
}

function capability(name: string, why: string): Capability {
  return why === '' ? { name, available: true } : { name, available: false, reason: why };
}

/** What was found on this machine: nothing here is needed, everything here makes something faster. */
export async function capabilities(host: ReactorHost): Promise<Capability[]> {
  const uring = (await host.call(0, 'reactor', 'uringUnavailable')) as string;
  const addon = native === null ? `needs the native addon, which is ${nativeUnavailable}` : '';
  return [
    capability('native_addon', nativeUnavailable),
    capability('cpu_pinning', addon),
    capability('connection_spreading', addon),
    capability('hole_punching', addon),
    capability('sock_posix', ''),
    capability('sock_uring', uring),
    capability('bdev_file', ''),
    capability('bdev_aio', aioUnavailable()),
    capability('bdev_uring', uring),
  ];
}

/** The start-up lines that say which I/O paths are used. */
export async function describeCapabilities(host: ReactorHost): Promise<string[]> {
  const all = await capabilities(host);
  const present = all.filter((one) => one.available).map((one) => one.name);
  const absent = all.filter((one) => !one.available);
  const lines = [`I/O paths: ${present.join(', ')}`];
  if (native === null) lines.push(`native addon: ${nativeUnavailable}; the portable path is used`);
  else for (const { name, reason } of absent) lines.push(`${name} is not available: ${reason}`);
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
