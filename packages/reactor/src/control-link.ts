/** What a service on a reactor can be asked from the control thread: parameters and result are cloneable. */
export interface ReactorService {
  // biome-ignore lint/suspicious/noExplicitAny: each service types its own calls, at both ends
  [method: string]: ((params: any) => unknown) | undefined;
}

/** A package's part that lives on every reactor. */
export interface ReactorPlugin {
  readonly name: string;
  start(reactor: import('./reactor.ts').Reactor): ReactorService | Promise<ReactorService>;
}

/** A reactor's way to the control thread. Not for the path of an I/O. */
export interface ControlLink {
  /** Asks the control thread's `service` and resolves with its answer. Rejects with its error. */
  call(service: string, method: string, params: unknown): Promise<unknown>;
  /** Tells the control thread something, without an answer. */
  notify(service: string, event: string, params: unknown): void;
}

/** The control thread's part of a service: what reactors may call. `reactor` is the caller's index. */
export interface ControlService {
  // biome-ignore lint/suspicious/noExplicitAny: each service types its own calls, at both ends
  [method: string]: ((params: any, reactor: number) => unknown) | undefined;
}
