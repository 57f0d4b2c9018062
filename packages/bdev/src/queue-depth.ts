/*
 * Samples of a bdev's queue depth over all reactors. Each reactor writes how deep its queues are into a word of its own;
 * the first that has channels adds the words up.
 */

/** What the samples say so far. Times in µs. */
export interface QueueDepthStat {
  readonly queue_depth_polling_period: number;
  readonly queue_depth: number;
  /** Time with I/O in flight, and the same times the depth. */
  readonly io_time: number;
  readonly weighted_io_time: number;
}

/** What the control thread tells every reactor. */
export interface QueueDepthMessage {
  readonly id: number;
  /** 0: no more samples. */
  readonly period_us: number;
  readonly shared: SharedArrayBuffer;
}

const DEPTH = 0;
const IO_TIME = 1;
const WEIGHTED = 2;
const REACTORS = 3;
/** In a reactor's word: it has no channel. */
const NONE = -1;

export class QueueDepthSamples {
  readonly period_us: number;
  private readonly words: Float64Array;

  static allocate(reactors: number): SharedArrayBuffer {
    const shared = new SharedArrayBuffer((REACTORS + reactors) * Float64Array.BYTES_PER_ELEMENT);
    new Float64Array(shared).fill(NONE, REACTORS);
    return shared;
  }

  constructor(shared: SharedArrayBuffer, period_us: number) {
    this.words = new Float64Array(shared);
    this.period_us = period_us;
  }

  /** A reactor's last channel is gone. */
  leave(reactor: number): void {
    this.words[REACTORS + reactor] = NONE;
  }

  /** A reactor's sample. */
  sample(reactor: number, depth: number): void {
    const words = this.words;
    words[REACTORS + reactor] = depth;
    for (let other = 0; other < reactor; other++) if (words[REACTORS + other] !== NONE) return;
    let total = 0;
    for (let at = REACTORS; at < words.length; at++) total += Math.max(0, words[at]!);
    words[DEPTH] = total;
    if (total === 0) return;
    words[IO_TIME] = words[IO_TIME]! + this.period_us;
    words[WEIGHTED] = words[WEIGHTED]! + this.period_us * total;
  }

  stat(): QueueDepthStat {
    return {
      queue_depth_polling_period: this.period_us,
      queue_depth: this.words[DEPTH]!,
      io_time: this.words[IO_TIME]!,
      weighted_io_time: this.words[WEIGHTED]!,
    };
  }
}
