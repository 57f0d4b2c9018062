// A reactor plugin that writes the same few blocks, or reads them, as fast as it can: for tests of what they meet.
import { getBdevService, IoStatus } from '@spdk-ts/bdev';

/** One I/O after another over the first blocks, each write with a number of its own in all of its words. */
class Runner {
  constructor(reactor, thread, { id, blocks, hidden, first }) {
    this.channel = getBdevService(reactor).getChannel(id, thread, hidden);
    this.blocks = blocks;
    this.bytes = blocks * this.channel.block_size;
    const { buffers } = reactor;
    this.region = buffers.region;
    this.buffer = buffers.get(this.bytes);
    this.buffers = buffers;
    this.words = new Int32Array(buffers.bytes.buffer, buffers.bytes.byteOffset + this.buffer, this.bytes / 4);
    this.value = first;
    this.counts = { ok: 0, failed: {}, mixed: 0 };
    this.ended = null;
  }
  run(write, ended) {
    this.writes = write;
    this.ended = ended;
    this.next();
  }
  next() {
    if (this.writes) this.words.fill(this.value++);
    const call = this.writes ? 'writeBlocks' : 'readBlocks';
    const result = this.channel[call](this.region, this.buffer, 0, this.blocks, this);
    if (result !== 0) throw new Error(`not submitted: ${result}`);
  }
  bdevIoDone(io) {
    const { status, sct, sc } = io;
    io.free();
    const { counts } = this;
    if (status === IoStatus.SUCCESS) counts.ok++;
    else {
      const how = status === IoStatus.NVME_ERROR ? `${sct}/${sc.toString(16)}` : String(status);
      counts.failed[how] = (counts.failed[how] ?? 0) + 1;
    }
    if (!this.writes && status === IoStatus.SUCCESS) counts.mixed += this.mixed();
    if (this.stopped) this.end();
    else this.next();
  }
  /** Blocks that hold more than one number. */
  mixed() {
    const each = this.channel.block_size / 4;
    let count = 0;
    for (let at = 0; at < this.words.length; at += each) {
      const value = this.words[at];
      let same = true;
      for (let i = 1; i < each; i++) if (this.words[at + i] !== value) same = false;
      if (!same) count++;
    }
    return count;
  }
  end() {
    this.buffers.put(this.buffer);
    this.channel.put();
    this.ended(this.counts);
  }
}

export default {
  name: 'race',
  start(reactor) {
    const thread = reactor.createThread(`race_${reactor.index}`);
    let runner = null;
    let result = null;
    return {
      begin({ write, ...options }) {
        // The last one's counts are not those of this one.
        runner = null;
        result = new Promise((resolve) => {
          thread.send(() => {
            runner = new Runner(reactor, thread, options);
            runner.run(write, resolve);
          });
        });
      },
      done: () => runner?.counts.ok ?? 0,
      end() {
        runner.stopped = true;
        return result;
      },
    };
  },
};
