/** What a reactor is told of a controller. */
export interface ControllerDescription {
  readonly id: number;
  readonly name: string;
  readonly bdev: { readonly id: number; readonly name: string; readonly hides_metadata: boolean };
  readonly readonly: boolean;
  readonly packed_ring: boolean;
  /** Cores that it may be on. */
  readonly cpumask: readonly number[];
  /** A socket that listens: the reactor's from now on. */
  readonly listen_fd: number;
}

/** When calls are put off: SPDK's two numbers. */
export interface Coalescing {
  readonly delay_base_us: number;
  readonly iops_threshold: number;
}
export const noCoalescing: Coalescing = { delay_base_us: 0, iops_threshold: 60_000 };
