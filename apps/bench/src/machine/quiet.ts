import { setTimeout as sleep } from 'node:timers/promises';
import { hasProc } from './proc.ts';
import { Watch, type Window } from './watch.ts';

/** How busy the rest of the machine was during a sample, in cores. */
export interface Noise {
  readonly other: number;
  readonly steal: number;
  /** Load average when the sample began. */
  readonly load: number;
}

export interface NoiseLimits {
  /** Cores that other processes may take; Infinity: whatever they like. */
  readonly other_max: number;
  readonly steal_max: number;
  /** How long to wait for a quiet machine before each sample. */
  readonly settle_s_max: number;
}

/** Why a sample cannot be believed; null if it can. */
export function disturbance(noise: Noise, limits: NoiseLimits, culprit: () => string | null): string | null {
  const share = (cores: number): string => `${Math.round(cores * 100)} %`;
  if (noise.other > limits.other_max) {
    const who = culprit();
    return `other processes took ${share(noise.other)} of a core${who === null ? '' : `, ${who} most`}`;
  }
  if (noise.steal > limits.steal_max) return `the hypervisor took ${share(noise.steal)} of a core`;
  return null;
}

export const noiseOf = (window: Window | null, load: number): Noise => ({
  other: window?.other ?? 0,
  steal: window?.steal ?? 0,
  load,
});

const LOOK_MS = 300;

/** Waits until the machine is quiet, or until the limit. Returns whether it is. */
export async function waitUntilQuiet(limits: NoiseLimits): Promise<boolean> {
  if (!hasProc || limits.other_max === Infinity) return true;
  const deadline = performance.now() + limits.settle_s_max * 1000;
  for (;;) {
    const watch = new Watch();
    const from = watch.tick();
    await sleep(LOOK_MS);
    const noise = noiseOf(watch.window(from, watch.tick()), 0);
    watch.stop();
    if (disturbance(noise, limits, () => null) === null) return true;
    if (performance.now() > deadline) return false;
  }
}
