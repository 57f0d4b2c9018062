import type { ControllerEvent, IoQueueParams, NamespaceInfo, NvmeTarget } from '@spdk-ts/nvme';

/** What the reactor half of an nvme bdev needs to know. */
export interface NvmeContext {
  /** Number of the controller. */
  readonly controller: number;
  readonly controller_name: string;
  readonly nsid: number;
  /** How often an I/O is tried again after an error that may pass; -1: for ever. */
  readonly bdev_retry_count: number;
  /** How long I/O waits for a lost controller, ms; -1: until it is given up. */
  readonly fast_io_fail_ms: number;
}

/** A controller that was connected, as its reactor tells it. */
export interface AttachedController {
  readonly cntlid: number;
  readonly transfer_bytes: number;
  readonly version: number;
  readonly vid: number;
  readonly sn: string;
  readonly mn: string;
  readonly fr: string;
  readonly subnqn: string;
  readonly oacs: number;
  readonly oncs: number;
  readonly vwc: number;
  readonly cmic: number;
  readonly namespaces: readonly NamespaceInfo[];
}

export interface AttachParams {
  readonly controller: number;
  readonly target: NvmeTarget;
}

/** Told by the controller's reactor. `namespace`: of an event of a namespace that is there. */
export interface EventMessage {
  readonly controller: number;
  readonly type: Exclude<ControllerEvent['type'], 'async-event'>;
  readonly nsid: number;
  readonly namespace: NamespaceInfo | null;
  readonly message: string;
  readonly cntlid: number;
}

/** What a reactor is told of a controller whose queue it may have. */
export interface PathMessage {
  readonly controller: number;
  readonly cntlid: number;
}

export type { IoQueueParams };
