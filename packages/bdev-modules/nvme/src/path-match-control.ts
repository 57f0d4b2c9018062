import type { NvmeTarget } from '@spdk-ts/nvme';

/** What a path is to have: everything that is said. */
export interface PathWanted {
  readonly trtype?: string;
  readonly traddr?: string;
  readonly adrfam?: string;
  readonly trsvcid?: string;
  readonly subnqn?: string;
}

const fields = ['trtype', 'traddr', 'adrfam', 'trsvcid', 'subnqn'] as const;

/** True if a path has what is wanted. Transport and address family are compared without regard to case. */
export function matches({ trid }: NvmeTarget, wanted: PathWanted): boolean {
  return fields.every((field) => {
    const value = wanted[field];
    if (value === undefined) return true;
    return field === 'trtype' || field === 'adrfam'
      ? value.toLowerCase() === trid[field].toLowerCase()
      : value === trid[field];
  });
}
