import { BdevError, Errno } from '@spdk-ts/bdev';
import { PathPolicy } from './context.ts';

export type PolicyName = 'active_passive' | 'active_active';
export type SelectorName = 'round_robin' | 'queue_depth';

/** How a bdev chooses among its paths. */
export interface MultipathOptions {
  readonly policy: PolicyName;
  /** Of active_active. */
  readonly selector: SelectorName;
  /** Of round_robin: I/Os in a row on one path. */
  readonly min_io: number;
}

export const defaultMultipath: MultipathOptions = {
  policy: 'active_passive',
  selector: 'round_robin',
  min_io: 1,
};

/** Fills in what was not said. Throws BdevError EINVAL. */
export function multipathOptions(
  given: Partial<MultipathOptions> = {},
  base: MultipathOptions = defaultMultipath,
): MultipathOptions {
  const options = { ...base, ...given };
  if (options.policy === 'active_passive' && given.selector !== undefined)
    throw new BdevError(
      Errno.EINVAL,
      `selector is "${given.selector}": it only works with the policy active_active`,
    );
  if (options.min_io < 1)
    throw new BdevError(Errno.EINVAL, `min_io is ${options.min_io}: it must be at least 1`);
  return options;
}

/** Of {@link PathPolicy}. */
export function policyCode({ policy, selector }: MultipathOptions): number {
  if (policy === 'active_passive') return PathPolicy.ACTIVE_PASSIVE;
  return selector === 'round_robin' ? PathPolicy.ROUND_ROBIN : PathPolicy.QUEUE_DEPTH;
}

export const samePolicy = (a: MultipathOptions, b: MultipathOptions): boolean =>
  a.policy === b.policy && a.selector === b.selector && a.min_io === b.min_io;

/** What is told of a policy: no more than it uses. */
export function describePolicy(options: MultipathOptions): Partial<MultipathOptions> {
  const { policy, selector, min_io } = options;
  if (policy === 'active_passive') return { policy };
  return selector === 'round_robin' ? { policy, selector, min_io } : { policy, selector };
}
