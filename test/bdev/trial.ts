import {
  type BdevDescription,
  type BdevDescriptor,
  type BdevOpenOptions,
  Errno,
  hideMetadata,
  IoType,
} from '@spdk-ts/bdev';
import { Random } from '@spdk-ts/env';
import { type Bench, IO_OBJECTS, pool } from './bench.ts';
import { type Area, Harness } from './harness.ts';
import { letMemoryGo, openFiles } from './open-files.ts';
import { areas, deletion, type Subject } from './subject.ts';

const REGIONS = 65_536;
/** JSON-RPC's code, with which SPDK also answers that there is no such thing. */
const INVALID_PARAMS = -32602;
/** How long connections may take to end, ms. */
const PATIENCE_MS = 5000;

/** What may be leaked. */
interface Stock {
  readonly regions: readonly number[];
  readonly pollers: readonly string[];
  readonly channels: readonly string[];
  readonly files: number;
}

function takeStock(bench: Bench): Stock {
  const reactors = bench.host.local;
  const threads = reactors.flatMap((reactor) => reactor.threads);
  const { regions } = reactors[0]!;
  return {
    regions: Array.from({ length: REGIONS }, (_, id) => id).filter((id) => regions.get(id) !== undefined),
    pollers: threads.flatMap((thread) =>
      [...thread.activePollers, ...thread.timedPollers, ...thread.pausedPollers].map(({ name }) => name),
    ),
    channels: threads.flatMap((thread) => thread.ioChannels.map(({ device }) => device.name)),
    files: openFiles(),
  };
}

/** Lets the host's waits end that an earlier use of the bdev has begun: they are no part of what there is before a trial. */
async function letWaitsEnd(bench: Bench): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  while (takeStock(bench).pollers.includes('nvme_sleep') && performance.now() < until) await bench.poll();
}

/** How long and with what chance checks work. */
export interface Effort {
  readonly seed: number;
  /** Random runs of each kind. */
  readonly runs: number;
}

/** One check of one bdev: makes it, and in the end sees that nothing is left of it. */
export class Trial {
  readonly bench: Bench;
  readonly subject: Subject;
  readonly effort: Effort;
  readonly random: Random;
  name = '';
  private before: Stock;
  private harnesses: Harness[] = [];
  private made: string[] = [];
  private readonly descriptors: BdevDescriptor[] = [];

  static async open(bench: Bench, subject: Subject, effort: Effort): Promise<Trial> {
    const trial = new Trial(bench, subject, effort);
    if (subject.keeps_on_reactors === true && !bench.warm) await trial.warmUp();
    await letMemoryGo(bench);
    await letWaitsEnd(bench);
    trial.before = takeStock(bench);
    await trial.create();
    return trial;
  }

  private constructor(bench: Bench, subject: Subject, effort: Effort) {
    this.bench = bench;
    this.subject = subject;
    this.effort = effort;
    this.random = new Random(effort.seed);
    this.before = takeStock(bench);
  }

  /** Makes the bdev once, uses it on each reactor, and takes it away: what its module keeps for good is there now. */
  private async warmUp(): Promise<void> {
    const { bench } = this;
    await this.create();
    for (const index of [0, 1]) {
      const channel = bench.channel(this.description, index);
      const io = channel.getIo()!;
      let ended = false;
      io.type = IoType.FLUSH;
      io.offset_blocks = 0;
      io.num_blocks = 0;
      io.owner = {
        bdevIoDone: () => {
          ended = true;
        },
      };
      const result = channel.submit(io);
      if (result !== 0) throw new Error(`a flush was refused with errno ${result}`);
      await bench.until('a flush to end', () => ended);
      io.free();
      channel.put();
    }
    await this.delete();
    await bench.quiet();
    bench.warm = true;
  }

  /** Makes the bdev by its calls. */
  async create(): Promise<void> {
    const { bench, subject } = this;
    await subject.prepare?.(bench);
    let answer: unknown;
    for (const { method, params } of subject.calls) answer = await bench.call(method, params);
    await bench.settled('the examination of bdevs', bench.bdevs.waitForExamine());
    this.adopt();
    const answered = Array.isArray(answer) ? answer[0] : answer;
    const last = subject.calls.at(-1)?.params?.['name'];
    const name = subject.bdev ?? (typeof answered === 'string' ? answered : last);
    if (typeof name !== 'string' || bench.bdevs.get(name) === undefined)
      throw new Error(
        `no bdev is called ${JSON.stringify(name)}; there are: ${this.made.join(', ') || 'none'}. Name the one to test: ` +
          'add {"bdev": "name"} to the list',
      );
    this.name = name;
  }

  /** What is there now was made by this trial, whoever called. */
  adopt(): void {
    this.made = this.bench.bdevs.list().map(({ name }) => name);
  }

  /** As who has it open sees it. */
  get description(): BdevDescription {
    const { registered } = this;
    return this.subject.hides_metadata === true ? hideMetadata(registered) : registered;
  }
  get registered(): BdevDescription {
    return this.bench.bdevs.get(this.name)!;
  }

  get areas(): Area[] {
    return areas(this.description);
  }

  harness(area: Area = this.areas[0]!): Harness {
    const harness = new Harness(this.bench, this.description, area, this.subject.promises);
    this.harnesses.push(harness);
    return harness;
  }

  /** Opens the bdev: closed at the latest with the trial. */
  open(write: boolean, onEvent: BdevOpenOptions['owner']['onEvent'] = () => {}): BdevDescriptor {
    const descriptor = this.bench.bdevs.open(this.name, { write, owner: { name: 'conformance', onEvent } });
    this.descriptors.push(descriptor);
    return descriptor;
  }

  /** Sees that every I/O object is back, and no more than there were, and gives back what a harness holds. */
  finish(harness: Harness): void {
    if (!this.harnesses.includes(harness)) return;
    harness.throwProblems();
    this.harnesses = this.harnesses.filter((other) => other !== harness);
    if (this.harnesses.length === 0) {
      const objects = harness.channels.map((channel) => {
        const taken = [];
        for (let io = channel.getIo(); io !== null; io = channel.getIo()) taken.push(io);
        return taken;
      });
      const count = objects.reduce((total, taken) => total + taken.length, 0);
      for (const io of objects.flat()) io.free();
      if (count !== IO_OBJECTS)
        throw new Error(`there are ${count} free bdev I/O objects, not the ${IO_OBJECTS} of the pool`);
    }
    harness.close();
  }

  /** Takes the bdev, and those made with it, away: as their modules do it, so that those forget them. */
  async delete(): Promise<void> {
    const { bench, subject } = this;
    for (const call of [...subject.calls].reverse()) {
      const { method, params } = deletion(call);
      if (method === call.method || !bench.has(method)) continue;
      await bench.call(method, params).catch((error: { code: number }) => {
        // One that is gone already.
        if (!([Errno.ENODEV, Errno.ENOENT, INVALID_PARAMS] as number[]).includes(error.code)) throw error;
      });
    }
    for (const name of this.made.reverse())
      if (bench.bdevs.get(name) !== undefined)
        await bench.settled(`the end of bdev ${name}`, bench.bdevs.unregister(name));
    this.made = [];
  }

  private async closeAll(): Promise<void> {
    for (const descriptor of this.descriptors) await descriptor.close();
  }

  /** A check has failed: frees what it can, so that another bench can have the bdev's files. */
  async abandon(): Promise<void> {
    for (const harness of this.harnesses) {
      await harness.drain().catch(() => {});
      harness.close();
    }
    await this.closeAll();
    await this.bench.stop();
  }

  /** Ends the trial: throws if anything is left. */
  async close(): Promise<void> {
    await this.closeAll();
    for (const harness of [...this.harnesses]) this.finish(harness);
    await this.delete();
    const { bench } = this;
    await bench.quiet();
    const until = performance.now() + PATIENCE_MS;
    while (this.left() !== '' && performance.now() < until) {
      await letMemoryGo(bench);
      await bench.poll();
    }
    const left = this.left();
    if (left !== '') throw new Error(left);
  }

  /** What is left of the trial, or an empty text. */
  private left(): string {
    for (const { index, buffers } of this.bench.host.local)
      if (buffers.smallFree !== pool.small_count || buffers.largeFree !== pool.large_count)
        return (
          `buffers of reactor ${index} have been lost: ${pool.small_count - buffers.smallFree} small, ` +
          `${pool.large_count - buffers.largeFree} large`
        );
    const now = takeStock(this.bench);
    for (const what of ['regions', 'pollers', 'channels'] as const) {
      const [was, is] = [String(this.before[what]), String(now[what])];
      if (was !== is) return `${what} are left: before ${was}; now ${is}`;
    }
    // If there are fewer, some of an earlier trial had not gone yet when this one began.
    if (now.files > this.before.files) return `files are left: before ${this.before.files}; now ${now.files}`;
    return '';
  }
}
