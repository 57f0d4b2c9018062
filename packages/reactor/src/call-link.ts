/** Calls in both directions between the control thread and a reactor, over a message port. */

/** A port: a Worker, a parentPort, or two ends in one thread. */
export interface CallPort {
  postMessage(message: unknown): void;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

interface Request {
  readonly call: number;
  readonly service: string;
  readonly method: string;
  readonly params: unknown;
}
interface Answer {
  readonly answer: number;
  readonly result?: unknown;
  readonly error?: { message: string; code?: number | string; stack?: string };
}

/** An error that was thrown at the other end; `code` is what it carried there. */
export class RemoteError extends Error {
  readonly code: number | string | undefined;
  constructor(message: string, code: number | string | undefined) {
    super(message);
    this.name = 'RemoteError';
    this.code = code;
  }
}

type Serve = (service: string, method: string, params: unknown) => Promise<unknown>;

export class CallLink {
  private readonly port: CallPort;
  private readonly serve: Serve;
  private readonly waiting = new Map<number, { resolve: (v: unknown) => void; reject: (e: Error) => void }>();
  private next = 1;
  private closed: Error | null = null;

  /** `onOther` gets messages that are not calls. */
  constructor(port: CallPort, serve: Serve, onOther: (message: unknown) => void = () => {}) {
    this.port = port;
    this.serve = serve;
    port.on('message', (message) => {
      const m = message as Partial<Request & Answer>;
      if (m.answer !== undefined) this.takeAnswer(m as Answer);
      else if (m.call !== undefined) void this.takeRequest(m as Request);
      else onOther(message);
    });
  }

  call(service: string, method: string, params: unknown): Promise<unknown> {
    if (this.closed !== null) return Promise.reject(this.closed);
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.waiting.set(id, { resolve, reject });
      this.port.postMessage({ call: id, service, method, params } satisfies Request);
    });
  }

  /** A call without an answer: id 0. */
  notify(service: string, method: string, params: unknown): void {
    if (this.closed === null) this.port.postMessage({ call: 0, service, method, params } satisfies Request);
  }

  /** The other end is gone: everything that waits fails. */
  close(reason: string): void {
    this.closed = new Error(reason);
    for (const { reject } of this.waiting.values()) reject(this.closed);
    this.waiting.clear();
  }

  private takeAnswer(message: Answer): void {
    const waiter = this.waiting.get(message.answer);
    if (waiter === undefined) return;
    this.waiting.delete(message.answer);
    if (message.error === undefined) waiter.resolve(message.result);
    else waiter.reject(new RemoteError(message.error.message, message.error.code));
  }

  private async takeRequest(message: Request): Promise<void> {
    const answer = message.call;
    try {
      const result = await this.serve(message.service, message.method, message.params);
      if (answer !== 0) this.port.postMessage({ answer, result } satisfies Answer);
    } catch (error) {
      // Nobody waits for a notification's answer: its failure is the thread's.
      if (answer === 0) throw error;
      const { message: text, code, stack } = error as Error & { code?: number | string };
      this.port.postMessage({
        answer,
        error: { message: text, ...(code !== undefined && { code }), ...(stack !== undefined && { stack }) },
      } satisfies Answer);
    }
  }
}
