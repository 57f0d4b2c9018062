import { atomicChecks } from './atomic.ts';
import type { Check } from './check.ts';
import { controlChecks } from './control.ts';
import { dataChecks } from './data.ts';
import { disturbanceChecks } from './disturbance.ts';
import { refusalChecks } from './refusals.ts';

export type { Check } from './check.ts';

/** What every bdev must pass. */
export const checks: readonly Check[] = [
  ...controlChecks,
  ...refusalChecks,
  ...dataChecks,
  ...atomicChecks,
  ...disturbanceChecks,
];
