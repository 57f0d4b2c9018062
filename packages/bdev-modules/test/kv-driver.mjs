// A reactor plugin that does key-value I/O as the control thread tells it: for tests with real workers.
import { getBdevService, IoStatus } from '@spdk-ts/bdev';

const AREA = 4096;

/** Runs so many operations of `next`, some at a time, and counts how they end: by status, or by status code. */
class Run {
  constructor(thread, channel, buffers, count, depth, next) {
    this.channel = channel;
    this.buffers = buffers;
    this.left = count;
    this.next = next;
    this.counts = {};
    this.torn = 0;
    this.inflight = 0;
    this.done = new Promise((resolve) => {
      this.resolve = resolve;
    });
    thread.send(() => {
      for (let i = 0; i < depth; i++) this.submit();
    });
  }
  submit() {
    if (this.left === 0) {
      if (this.inflight === 0) this.resolve({ counts: this.counts, torn: this.torn });
      return;
    }
    this.left--;
    const io = this.channel.getIo();
    const buffer = this.buffers.get(AREA);
    io.ownerIndex = buffer;
    io.owner = this;
    this.inflight++;
    const result = this.next(io, buffer, this.left);
    if (result !== 0) throw new Error(`not submitted: ${result}`);
  }
  bdevIoDone(io) {
    const name = io.status === IoStatus.NVME_ERROR ? `sc${io.sc}` : String(io.status);
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    if (io.type === 23 && io.status === IoStatus.SUCCESS) this.check(io);
    this.buffers.put(io.ownerIndex);
    this.inflight--;
    io.free();
    this.submit();
  }
  /** A value is one byte over and over, as often as that says. */
  check(io) {
    const { bytes } = this.buffers;
    const value = bytes[io.ownerIndex];
    if (io.cdw0 !== 1 + value * 13) this.torn++;
    for (let i = 0; i < io.cdw0; i++) if (bytes[io.ownerIndex + i] !== value) this.torn++;
  }
}

export default {
  name: 'kv_driver',
  start(reactor) {
    const thread = reactor.createThread(`kv_driver_${reactor.index}`);
    const { buffers, random } = reactor;
    let channel = null;
    const setKey = (io, number) => {
      const text = Buffer.from(`key-${number}`);
      io.setKey(text, 0, text.length);
    };
    const store = (io, buffer, options) => {
      const value = random.below(256);
      const length = 1 + value * 13;
      buffers.bytes.fill(value, buffer, buffer + length);
      return channel.kvStore(io, buffers.region, buffer, length, options);
    };
    const run = (count, next) => new Run(thread, channel, buffers, count, 16, next).done;
    return {
      open({ id }) {
        channel = getBdevService(reactor).getChannel(id, thread);
      },
      close() {
        thread.send(() => channel.put());
      },
      /** Everything at once on few keys. */
      mix: ({ keys, count }) =>
        run(count, (io, buffer) => {
          setKey(io, random.below(keys));
          const kind = random.below(10);
          if (kind < 4) return store(io, buffer, 0);
          if (kind < 5) return channel.kvDelete(io);
          return channel.kvRetrieve(io, buffers.region, buffer, AREA);
        }),
      /** Each key once, from the last to the first: only if it is not there. */
      storeNew: ({ count }) =>
        run(count, (io, buffer, number) => {
          setKey(io, number);
          return store(io, buffer, 2);
        }),
      deleteAll: ({ count }) =>
        run(count, (io, _buffer, number) => {
          setKey(io, number);
          return channel.kvDelete(io);
        }),
    };
  },
};
