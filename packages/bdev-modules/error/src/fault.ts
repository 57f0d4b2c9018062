/** What may go wrong, by number; `none`: nothing but a later end. */
export const errorTypes = ['none', 'failure', 'pending', 'corrupt_data', 'nomem', 'nvme_failure'] as const;
export type ErrorType = (typeof errorTypes)[number];

/** What happens to one I/O. */
export interface Fault {
  readonly error_type: ErrorType;
  readonly latency_us: number;
  readonly nvme_sct: number;
  readonly nvme_sc: number;
  readonly corrupt_offset: number;
  readonly corrupt_value: number;
}
