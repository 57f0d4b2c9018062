import { Errno, IoStatus, IoType, ioStatJson } from '@spdk-ts/bdev';
import type { Op } from '../harness.ts';
import { opOf, randomStep } from '../ops.ts';
import { writeUnit } from '../subject.ts';
import { type Check, same } from './check.ts';

const MIB = 1024 * 1024;

const description: Check = {
  title: 'is described as the layer requires, and found by its name, aliases and UUID',
  async run(trial) {
    const { bdevs } = trial.bench;
    const { registered: d, name } = trial;
    const info = bdevs.info(d);
    same('the block size shown', [info.block_size, info.num_blocks], [d.block_size, d.num_blocks]);
    const data = d.md_interleave ? d.block_size - d.md_size : d.block_size;
    same(
      'that blocks have 512 bytes or more, a power of two',
      data >= 512 && Number.isInteger(Math.log2(data)),
      true,
    );
    same('that there are blocks', Number.isSafeInteger(d.num_blocks) && d.num_blocks > 0, true);
    same('the required alignment', d.required_alignment >= 0 && d.required_alignment <= 12, true);
    const reads = d.kv === null ? IoType.READ : IoType.KV_RETRIEVE;
    same('that it reads', (d.io_types & (1 << reads)) !== 0, true);
    for (const known of [name, d.uuid, d.uuid.toUpperCase(), ...d.aliases])
      same(`the bdev called ${known}`, bdevs.get(known)?.id, d.id);
    const [shown] = (await trial.bench.call('bdev_get_bdevs', { name })) as { name: string }[];
    same('what bdev_get_bdevs shows', shown, JSON.parse(JSON.stringify(info)));
  },
};

const config: Check = {
  title: 'is saved as calls that make it again, the same',
  async run(trial) {
    const { bdevs } = trial.bench;
    const seen = () => {
      const { id: _, context: __, ...rest } = trial.description;
      return { ...rest, config: bdevs.config() };
    };
    const before = seen();
    await trial.delete();
    for (const { method, params } of before.config)
      if (method !== 'bdev_set_options') await trial.bench.call(method, params);
    trial.adopt();
    same('the bdev made from its saved configuration', seen(), before);
  },
};

const claims: Check = {
  title: 'is claimed by one, and then not opened for writing by another',
  async run(trial) {
    const { bdevs } = trial.bench;
    const open = (write: boolean) => trial.open(write);
    const code = (fn: () => unknown): number => {
      try {
        fn();
        return 0;
      } catch (error) {
        return (error as { code: number }).code;
      }
    };
    const claimed = (): unknown => bdevs.info(trial.description)['claim_type'] ?? 'none';
    const base = claimed();
    if (base !== 'none') throw new Error(`it is claimed (${base}) already: name a bdev that nobody uses`);
    const reader = open(false);
    const writer = open(true);
    for (const type of ['exclusive_write', 'read_many_write_one'] as const) {
      writer.claim(type, { module: 'conformance' });
      same('its claim', claimed(), type);
      same(
        'code of opening it for writing',
        code(() => open(true)),
        Errno.EPERM,
      );
      same(
        'code of another claim',
        code(() => reader.claim(type, { module: 'other' })),
        Errno.EPERM,
      );
      same(
        'code of opening it for reading',
        code(() => open(false)),
        0,
      );
      writer.releaseClaim();
      same('its claim after that', claimed(), 'none');
    }
    // A claim ends with its descriptor.
    await writer.close();
    reader.claim('read_many_write_none', { module: 'conformance' });
    same(
      'code of opening it for writing',
      code(() => open(true)),
      Errno.EPERM,
    );
    await reader.close();
    same('its claim after that', claimed(), 'none');
    same(
      'code of opening it for writing',
      code(() => open(true)),
      0,
    );
  },
};

const statistics: Check = {
  of_blocks: true,
  title: 'counts what was done: operations, bytes, latencies, failures, on each channel',
  // What the layer does for who hides metadata is counted with them.
  unneeded: (trial) => (trial.subject.hides_metadata === true ? 'it is counted with its metadata' : ''),
  async run(trial) {
    const harness = trial.harness();
    await harness.writeAll();
    const { bdevs } = trial.bench;
    await trial.bench.settled('the reset of statistics', bdevs.resetIostat(trial.name, 'all'));
    const { io_types, block_size } = trial.description;
    const unit = writeUnit(trial.description);
    const expected = { read: [0, 0], write: [0, 0], unmap: [0, 0], copy: [0, 0] };
    let misses = 0;
    for (let i = 0; i < 60; i++) {
      const type = (['read', 'write', 'unmap', 'copy', 'compare'] as const)[i % 5]!;
      const code = { read: 0, write: 1, unmap: 2, copy: IoType.COPY, compare: IoType.COMPARE }[type];
      // What the layer does for the module is counted as what it does it with.
      if ((io_types & (1 << code)) === 0) continue;
      const blocks = unit * (1 + trial.random.below(Math.max(1, Math.min(8, harness.area.count / unit - 1))));
      const { first } = harness.area;
      const op: Op = { type, at: first, blocks, reactor: i % 2, ...(type === 'copy' && { from: first }) };
      if (type === 'copy') Object.assign(op, { from: first + harness.area.count - blocks });
      if (type === 'compare') {
        const status = await harness.run({ ...op, miss: 1 });
        if (status !== IoStatus.SUCCESS && status !== null) misses++;
        continue;
      }
      await harness.run(op);
      expected[type][0]! += 1;
      expected[type][1]! += blocks * block_size;
    }
    const [total] = await trial.bench.settled('statistics', bdevs.iostat(trial.name));
    const counted = ioStatJson(total!.stat);
    for (const [type, bytes] of [
      ['read', 'bytes_read'],
      ['write', 'bytes_written'],
      ['unmap', 'bytes_unmapped'],
      ['copy', 'bytes_copied'],
    ] as const) {
      same(`${type} operations and bytes`, [counted[`num_${type}_ops`], counted[bytes]], expected[type]);
      const sum = counted[`${type}_latency_ticks`];
      const max = counted[`max_${type}_latency_ticks`];
      const min = counted[`min_${type}_latency_ticks`];
      const count = expected[type][0]!;
      if (!(min <= max && sum >= min * count && sum <= max * count))
        throw new Error(`latencies of ${count} ${type}s: sum ${sum}, max ${max}, min ${min}`);
    }
    const failures = Object.values(counted.io_error).reduce((total, count) => total + count, 0);
    same('failures', failures, misses);
    const channels = await trial.bench.settled('statistics', bdevs.channelIostat(trial.name));
    same('channels', channels.length, 2);
    const ops = channels.map((channel) => ioStatJson(channel.stat).num_read_ops);
    same('reads of both channels', ops[0]! + ops[1]!, expected.read[0]);
  },
};

const resize: Check = {
  of_blocks: true,
  title: 'grows under load: old data stay, new blocks are there; it does not shrink while it is open',
  unneeded: (trial) => (trial.subject.resize === undefined ? 'there is no way to resize it' : ''),
  async run(trial) {
    const { bench, name, subject } = trial;
    const { block_size, num_blocks } = trial.description;
    const before = num_blocks * block_size;
    const after = (Math.floor(before / MIB) + 3) * MIB;
    const harness = trial.harness();
    await harness.writeAll();
    const events: string[] = [];
    const descriptor = trial.open(true, (event) => void events.push(event));
    const beyond: Op = { type: 'read', at: after / block_size - 1, blocks: 1 };
    same('errno of a read beyond the end', harness.start(beyond), Errno.EINVAL);
    const grown = subject.resize!(bench, name, after);
    let over = false;
    grown.then(
      () => {
        over = true;
      },
      () => {
        over = true;
      },
    );
    await bench.until('the resize', () => {
      if (harness.jobs.length < 16)
        harness.start(opOf(randomStep(trial.random), harness, trial.random, trial.random.below(2)));
      return over;
    });
    await grown;
    await harness.drain();
    await harness.check();
    same('blocks after the resize', trial.description.num_blocks, after / block_size);
    same('events', events, ['resize']);
    const first = Math.max(num_blocks, after / block_size - 64);
    const more = trial.harness({ first, count: after / block_size - first });
    await more.writeAll();
    await more.check();
    same('errno of a read at the new end', more.start({ ...beyond, at: after / block_size }), Errno.EINVAL);
    trial.finish(more);
    const code = await bench.settled('the answer', subject.resize!(bench, name, MIB)).then(
      () => 0,
      (error: { code: number }): number => error.code,
    );
    // A module may refuse it for reasons of its own.
    same(
      'whether it shrinks while it is open',
      ([Errno.EBUSY, Errno.EINVAL] as number[]).includes(code),
      true,
    );
    same('blocks after that', trial.description.num_blocks, after / block_size);
    trial.finish(harness);
    await descriptor.close();
    await subject.resize!(bench, name, Math.floor(before / MIB) * MIB).catch((error: { code: number }) =>
      same('code of shrinking it, if it cannot shrink at all', error.code, Errno.EINVAL),
    );
    const last = trial.harness();
    await last.writeAll();
    await last.check();
  },
};

export const controlChecks: readonly Check[] = [description, config, claims, statistics, resize];
