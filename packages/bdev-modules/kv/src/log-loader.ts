import { type BdevChannel, type BdevIo, type BdevIoOwner, getBdevService, IoStatus } from '@spdk-ts/bdev';
import { NO_NODE } from '@spdk-ts/kv';
import type { Reactor, Thread } from '@spdk-ts/reactor';
import { BaseIo } from './base-io.ts';
import {
  type LogFormat,
  readSegmentHead,
  recordBytes,
  recordIsDelete,
  recordKeyLength,
  recordKeyWord,
  recordValueBytes,
  SUPER_BYTES,
  segmentAt,
  writeSegmentHead,
} from './layout.ts';
import { BYTES, GENERATION, LogState, OFFSET, type SharedLog } from './log-state.ts';
import { recordLength } from './segment-mover.ts';

export interface LogRequest {
  /** The base bdev's number. */
  readonly base_id: number;
}
export interface FormatRequest extends LogRequest {
  readonly superblock: Uint8Array;
  readonly format: LogFormat;
}
export interface RecoverRequest extends LogRequest {
  readonly format: LogFormat;
  readonly shared: SharedLog;
}

/** A log's base on the reactor that loads it: I/O one at a time, answered with promises. Only for a bdev's creation. */
class Loader implements BdevIoOwner {
  private readonly thread: Thread;
  private readonly channel: BdevChannel;
  private readonly base: BaseIo;
  readonly reactor: Reactor;
  readonly bytes: Uint8Array;
  readonly region: number;
  private ended: ((error: Error | null) => void) | null = null;

  constructor(reactor: Reactor, base_id: number, bytes: number) {
    this.reactor = reactor;
    this.thread = reactor.createThread('bdev_kv_load');
    this.channel = getBdevService(reactor).getChannel(base_id, this.thread);
    this.base = new BaseIo(this.channel);
    this.bytes = new Uint8Array(bytes);
    this.region = reactor.regions.addLocal(this.bytes).id;
  }

  bdevIoDone(io: BdevIo): void {
    const { status, sct, sc } = io;
    this.channel.giveSpare(io);
    const ok = status === IoStatus.SUCCESS;
    const { name } = this.channel.device.description;
    this.ended!(
      ok
        ? null
        : new Error(`I/O on bdev ${name} failed: status ${status}, sct ${sct}, sc 0x${sc.toString(16)}`),
    );
  }

  private io(start: (base: BaseIo) => number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.ended = (error) => (error === null ? resolve() : reject(error));
      // On the thread, as everything else that touches its channels.
      this.thread.send(() => {
        const result = start(this.base);
        if (result !== 0) reject(new Error(`I/O on the base was refused: errno ${result}`));
      });
    });
  }

  read(at: number, bytes: number): Promise<void> {
    return this.io((base) => base.read(at, bytes, this.region, 0, this));
  }
  write(at: number, bytes: number): Promise<void> {
    return this.io((base) => base.write(at, bytes, this.region, 0, this));
  }
  flush(): Promise<void> {
    return this.io((base) => base.flush(this));
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.thread.send(() => {
        this.channel.put();
        this.reactor.regions.remove(this.region);
        this.thread.exit(resolve);
      });
    });
  }
}

async function withLoader<T>(
  reactor: Reactor,
  { base_id }: LogRequest,
  bytes: number,
  fn: (loader: Loader) => Promise<T>,
): Promise<T> {
  const loader = new Loader(reactor, base_id, bytes);
  try {
    return await fn(loader);
  } finally {
    await loader.close();
  }
}

/** The bytes of the superblock's place. */
export function probe(reactor: Reactor, request: LogRequest): Promise<Uint8Array> {
  return withLoader(reactor, request, SUPER_BYTES, async (loader) => {
    await loader.read(0, SUPER_BYTES);
    return loader.bytes.slice();
  });
}

/** Makes an empty log. The superblock comes last: without it there is none. */
export function makeLog(reactor: Reactor, request: FormatRequest): Promise<void> {
  const { superblock, format } = request;
  return withLoader(reactor, request, SUPER_BYTES, async (loader) => {
    writeSegmentHead(loader.bytes, 0, format, 0, 0);
    await loader.write(segmentAt(format, 0), format.unit);
    await loader.flush();
    loader.bytes.set(superblock);
    await loader.write(0, SUPER_BYTES);
    await loader.flush();
  });
}

/** Reads a log, and fills the index with what it holds. */
export function recover(reactor: Reactor, request: RecoverRequest): Promise<void> {
  const { format, shared } = request;
  return withLoader(reactor, request, format.segment_bytes, async (loader) => {
    const { tail, head } = await findEnds(loader, format);
    const state = new LogState(format, shared);
    let live_bytes = 0;
    let end = format.unit;
    for (let generation = tail; generation <= head; generation++) {
      await loader.read(segmentAt(format, generation), format.segment_bytes);
      end = format.unit;
      for (let at = format.unit; at < format.segment_bytes; ) {
        const left = format.segment_bytes - at;
        const bytes = recordLength(reactor.regions, loader.region, at, format, generation, left);
        if (bytes > 0) {
          live_bytes += apply(state, loader.bytes, at, generation);
          end = at + bytes;
        }
        at += bytes > 0 ? bytes : format.unit;
      }
    }
    state.begin(tail, head, end, live_bytes / format.unit);
    // What was found, and may be shown to others, is not to be lost by a failure of power that comes now.
    await loader.flush();
  });
}

/** The oldest and the newest generation: what the newest head of a segment says. */
async function findEnds(
  loader: Loader,
  format: LogFormat,
): Promise<{ readonly tail: number; readonly head: number }> {
  const generations: (number | undefined)[] = [];
  let newest = { generation: -1, tail: 0 };
  for (let segment = 0; segment < format.segments; segment++) {
    await loader.read(segmentAt(format, segment), format.unit);
    const found = readSegmentHead(loader.bytes, 0, format);
    generations.push(found?.generation);
    if (found !== null && found.generation > newest.generation) newest = found;
  }
  const { generation: head, tail } = newest;
  for (let generation = tail; generation <= head; generation++)
    if (generations[generation % format.segments] !== generation)
      throw new Error(
        `the log is damaged: the head of its segment ${generation % format.segments} ` +
          `(generation ${generation}) cannot be read`,
      );
  if (head < 0) throw new Error('the log is damaged: none of its segments has a head that can be read');
  return { tail, head };
}

/** Applies a record to the index. Bytes that are live more, or less, by it. */
function apply(state: LogState, bytes: Uint8Array, at: number, generation: number): number {
  const { index, format } = state;
  const key = (word: number): number => recordKeyWord(bytes, at, word);
  index.setKey(recordKeyLength(bytes, at), key(0), key(1), key(2), key(3));
  let node = index.find();
  const before = node === NO_NODE ? 0 : recordBytes(format.unit, index.words[index.value(node) + BYTES]!);
  if (recordIsDelete(bytes, at)) {
    if (node !== NO_NODE) index.remove(node);
    return -before;
  }
  if (node === NO_NODE) node = index.insert();
  if (node === NO_NODE) throw new Error('the log holds far more keys than its limit');
  const value = index.value(node);
  index.words[value + BYTES] = recordValueBytes(bytes, at);
  index.words[value + GENERATION] = generation;
  index.words[value + OFFSET] = at;
  return recordBytes(format.unit, recordValueBytes(bytes, at)) - before;
}
