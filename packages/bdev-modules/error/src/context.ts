import type { StackedContext } from '@spdk-ts/vbdev';
import type { Rule } from './rules.ts';

export interface ErrorContext extends StackedContext {
  /** What bdev_error_inject_error injects: see {@link Injection}. Shared by all threads. */
  readonly injection: SharedArrayBuffer;
  readonly seed: number;
  readonly rules: readonly Rule[];
  /** Another number for each bdev_error_set_rules. */
  readonly run: number;
}
