// A reactor plugin that does I/O as the control thread tells it: for tests with real workers.
import { getBdevService, IoStatus, IoType, zoneAppend, zoneManagement } from '@spdk-ts/bdev';
import { ZoneAction } from '@spdk-ts/zones';

class Load {
  constructor(channel, buffers, type, depth) {
    this.channel = channel;
    this.type = type;
    this.region = buffers.region;
    this.buffers = buffers;
    this.counts = {};
    this.inflight = 0;
    this.next = 0;
    this.stopped = null;
    for (let i = 0; i < depth; i++) this.submit(buffers.get(4096));
  }
  submit(buffer) {
    this.next = (this.next + 7) % this.channel.num_blocks;
    const call = this.type === IoType.READ ? 'readBlocks' : 'writeBlocks';
    const result = this.channel[call](this.region, buffer, this.next, 1, this, buffer);
    if (result === 0) this.inflight++;
    else {
      this.counts[result] = (this.counts[result] ?? 0) + 1;
      this.buffers.put(buffer);
    }
  }
  bdevIoDone(io) {
    const buffer = io.ownerIndex;
    this.counts[io.status] = (this.counts[io.status] ?? 0) + 1;
    this.inflight--;
    io.free();
    if (this.stopped === null) this.submit(buffer);
    else {
      this.buffers.put(buffer);
      if (this.inflight === 0) this.stopped(this.counts);
    }
  }
  stop() {
    return new Promise((resolve) => {
      this.stopped = resolve;
      if (this.inflight === 0) resolve(this.counts);
    });
  }
}

/** Appends blocks to a zone until it is full: where they went. */
class Appends {
  constructor(channel, buffers, zone_id, depth, value, full) {
    this.channel = channel;
    this.buffers = buffers;
    this.zone_id = zone_id;
    this.full = full;
    this.places = [];
    this.inflight = 0;
    for (let i = 0; i < depth; i++) {
      const buffer = buffers.get(channel.block_size);
      buffers.bytes.fill(value, buffer, buffer + channel.block_size);
      this.submit(buffer);
    }
  }
  submit(buffer) {
    const { region } = this.buffers;
    const result = zoneAppend(this.channel, region, buffer, this.zone_id, 1, this, buffer);
    if (result !== 0) throw new Error(`an append was not submitted: ${result}`);
    this.inflight++;
  }
  bdevIoDone(io) {
    const { status, sc, append_location, ownerIndex } = io;
    io.free();
    this.inflight--;
    if (status === IoStatus.SUCCESS) {
      this.places.push(append_location);
      this.submit(ownerIndex);
      return;
    }
    this.buffers.put(ownerIndex);
    if (sc !== 0xb9) throw new Error(`an append ended with ${status} and ${sc}`);
    if (this.inflight === 0) this.full(this.places);
  }
}

export default {
  name: 'driver',
  start(reactor) {
    const thread = reactor.createThread(`driver_${reactor.index}`);
    const { buffers } = reactor;
    const channels = new Map();
    const loads = new Map();
    const once = (fn) =>
      new Promise((resolve, reject) => {
        const owner = {
          bdevIoDone(io) {
            const status = io.status;
            io.free();
            resolve(status);
          },
        };
        // On the thread, as everything else that touches its channels.
        thread.send(() => {
          const result = fn(owner);
          if (result !== 0) reject(new Error(`not submitted: ${result}`));
        });
      });
    return {
      open({ id }) {
        channels.set(id, getBdevService(reactor).getChannel(id, thread));
      },
      close({ id }) {
        channels.get(id).put();
        channels.delete(id);
      },
      async write({ id, at, value }) {
        const buffer = buffers.get(4096);
        buffers.bytes.fill(value, buffer, buffer + channels.get(id).block_size);
        const status = await once((owner) =>
          channels.get(id).writeBlocks(buffers.region, buffer, at, 1, owner),
        );
        buffers.put(buffer);
        return status;
      },
      async read({ id, at }) {
        const size = channels.get(id).block_size;
        const buffer = buffers.get(4096);
        const status = await once((owner) =>
          channels.get(id).readBlocks(buffers.region, buffer, at, 1, owner),
        );
        const bytes = buffers.bytes.slice(buffer, buffer + size);
        buffers.put(buffer);
        return { status, values: [...new Set(bytes)] };
      },
      /**
       * Adds 1 to a block's first word, so often, with compare and write: how often somebody else was faster. The rest
       * of the block is zeroes.
       */
      async count({ id, at, times }) {
        const channel = channels.get(id);
        const size = channel.block_size;
        const { region } = buffers;
        const buffer = buffers.get(2 * size);
        const words = new DataView(buffers.bytes.buffer, buffers.bytes.byteOffset + buffer, 2 * size);
        let late = 0;
        for (let done = 0; done < times; ) {
          const read = await once((owner) => channel.readBlocks(region, buffer, at, 1, owner));
          if (read !== IoStatus.SUCCESS) throw new Error(`a read ended with ${read}`);
          const seen = words.getUint32(0, true);
          buffers.bytes.fill(0, buffer, buffer + 2 * size);
          words.setUint32(0, seen, true);
          words.setUint32(size, seen + 1, true);
          const status = await once((owner) =>
            channel.compareAndWriteBlocks(region, buffer, buffer + size, at, 1, owner),
          );
          if (status === IoStatus.SUCCESS) done++;
          else if (status === IoStatus.MISCOMPARE) late++;
          else throw new Error(`a compare and write ended with ${status}`);
        }
        buffers.put(buffer);
        return late;
      },
      async readWord({ id, at }) {
        const buffer = buffers.get(channels.get(id).block_size);
        await once((owner) => channels.get(id).readBlocks(buffers.region, buffer, at, 1, owner));
        const word = new DataView(buffers.bytes.buffer, buffers.bytes.byteOffset).getUint32(buffer, true);
        buffers.put(buffer);
        return word;
      },
      appendAll: ({ id, zone_id, depth }) =>
        new Promise((resolve) => {
          const value = reactor.index + 1;
          thread.send(() => new Appends(channels.get(id), buffers, zone_id, depth, value, resolve));
        }),
      resetZone: ({ id, zone_id }) =>
        once((owner) => zoneManagement(channels.get(id), zone_id, ZoneAction.RESET, owner)),
      reset: ({ id }) => once((owner) => channels.get(id).reset(owner)),
      load({ id, write, depth }) {
        loads.set(id, new Load(channels.get(id), buffers, write ? IoType.WRITE : IoType.READ, depth));
      },
      stopLoad: ({ id }) => loads.get(id).stop(),
      inflight: ({ id }) => loads.get(id).inflight,
    };
  },
};
