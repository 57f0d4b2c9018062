/** Events for those who iterate over them: each sees all from its beginning on. */
export class EventStream<T> {
  private readonly readers = new Set<Reader<T>>();
  private ended = false;

  push(event: T): void {
    for (const reader of this.readers) reader.push(event);
  }

  /** Ends every iteration, those to come included. */
  end(): void {
    this.ended = true;
    for (const reader of this.readers) reader.finish();
    this.readers.clear();
  }

  /** An iteration over what happens from now on. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    const reader = new Reader<T>(() => this.readers.delete(reader));
    if (this.ended) reader.finish();
    else this.readers.add(reader);
    return reader;
  }
}

/** Events that nobody has taken are kept up to this number; then the oldest are lost. */
const KEPT_MAX = 1024;

class Reader<T> implements AsyncIterableIterator<T> {
  private readonly events: T[] = [];
  private waiting: ((result: IteratorResult<T>) => void) | null = null;
  private finished = false;
  private readonly leave: () => void;

  constructor(leave: () => void) {
    this.leave = leave;
  }

  push(event: T): void {
    const { waiting } = this;
    this.waiting = null;
    if (waiting !== null) waiting({ value: event, done: false });
    else if (this.events.push(event) > KEPT_MAX) this.events.shift();
  }

  finish(): void {
    this.finished = true;
    const { waiting } = this;
    this.waiting = null;
    waiting?.({ value: undefined, done: true });
  }

  next(): Promise<IteratorResult<T>> {
    const event = this.events.shift();
    if (event !== undefined) return Promise.resolve({ value: event, done: false });
    if (this.finished) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => {
      this.waiting = resolve;
    });
  }

  return(): Promise<IteratorResult<T>> {
    this.leave();
    this.finish();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return this;
  }
}
