import type { SubjectKind } from '../subject.ts';
import { atomicChecks } from './atomic.ts';
import type { Check } from './check.ts';
import { controlChecks } from './control.ts';
import { dataChecks } from './data.ts';
import { disturbanceChecks } from './disturbance.ts';
import { keyChecks } from './keys.ts';
import { refusalChecks } from './refusals.ts';
import { zoneChecks } from './zones.ts';

export type { Check } from './check.ts';

/** What every bdev must pass, whatever it holds. */
const common: readonly Check[] = controlChecks.filter(({ of_blocks }) => of_blocks !== true);

/** What every bdev of a kind must pass. */
export const checks: Readonly<Record<SubjectKind, readonly Check[]>> = {
  blocks: [...controlChecks, ...refusalChecks, ...dataChecks, ...atomicChecks, ...disturbanceChecks],
  zones: [...common, ...zoneChecks],
  keys: [...common, ...keyChecks],
};
