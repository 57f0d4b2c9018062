import type { ControlService } from './control-link.ts';

export interface ReactorInfo {
  readonly index: number;
  readonly lcore: number;
}

/** The control thread's view of the reactors, whether they are workers or share its thread. */
export interface ReactorHost {
  readonly reactors: readonly ReactorInfo[];
  /** Asks a service of one reactor. Rejects with {@link RemoteError} if it throws there. */
  call(reactor: number, service: string, method: string, params?: unknown): Promise<unknown>;
  /** Asks a service of every reactor: their answers in order. */
  broadcast(service: string, method: string, params?: unknown): Promise<unknown[]>;
  /** Offers a service of the control thread to the reactors. */
  provide(service: string, implementation: ControlService): void;
  /**
   * Starts one more plugin on every reactor: the default export of the module at this URL. Rejects with an Error if it
   * cannot be loaded, or one of its name is there.
   */
  load(url: string): Promise<void>;
  /** A region id that no thread uses yet. */
  allocateRegionId(): number;
  /** Ends services, threads and reactors. Work in flight completes first. */
  stop(): Promise<void>;
}
