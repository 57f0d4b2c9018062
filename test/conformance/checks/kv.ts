/** The Key Value Command Set 1.0, where the subsystem has such a namespace. */
import { kvOpcode } from '@spdk-ts/nvme-spec';
import { type CommandQueue, type Completion, pattern } from '../../host/index.ts';
import type { Bench } from '../bench.ts';
import { all, answers, type Check, check, holds, of, type Row, succeeded, type Unless } from '../check.ts';
import { generic } from '../codes.ts';

const needsKeys: Unless = ({ keyValue }) => (keyValue === null ? 'there is no key-value namespace' : '');
const row = (id: string, section: string, title: string): Row => ({
  ...{ id: `kv.${id}`, section: `KV 1.0, ${section}`, title },
  unless: needsKeys,
});
const KEY_MAX = 16;
/** Store options: bits of cdw11 15:8. */
const onlyIfThere = 1 << 8;
const onlyIfNotThere = 1 << 9;

/** Where a command has its key: dwords 2, 3, 14 and 15, and its length in cdw11. */
function keyed(key: string, length = Buffer.byteLength(key)) {
  const bytes = Buffer.alloc(KEY_MAX);
  bytes.write(key);
  const dword = (n: number): number => bytes.readUInt32LE(4 * n);
  return { cdw2: dword(0), cdw3: dword(1), cdw14: dword(2), cdw15: dword(3), cdw11: length };
}

class Keys {
  private readonly queue: CommandQueue;
  private readonly base: { nsid: number; psdt: number };

  static async open(bench: Bench): Promise<Keys> {
    return new Keys(bench, (await bench.pair()).queue);
  }
  private constructor(bench: Bench, queue: CommandQueue) {
    this.queue = queue;
    this.base = { nsid: bench.facts.keyValue!.nsid, psdt: 1 };
  }

  store(key: string, value: Uint8Array, options = 0, length?: number): Promise<Completion> {
    const at = keyed(key, length);
    const fields = {
      opcode: kvOpcode.store,
      ...this.base,
      ...at,
      cdw10: value.length,
      cdw11: at.cdw11 | options,
    };
    return value.length <= this.queue.inCapsuleMax
      ? this.queue.submit(fields, value)
      : this.queue.submitR2t(fields, value);
  }
  retrieve(key: string, bytes: number, length?: number): Promise<Completion> {
    return this.queue.submitRead(
      { opcode: kvOpcode.retrieve, ...this.base, ...keyed(key, length), cdw10: bytes },
      bytes,
    );
  }
  list(key: string, bytes: number): Promise<Completion> {
    return this.queue.submitRead({ opcode: kvOpcode.list, ...this.base, ...keyed(key), cdw10: bytes }, bytes);
  }
  delete(key: string): Promise<Completion> {
    return this.queue.submit({ opcode: kvOpcode.delete, ...this.base, ...keyed(key) });
  }
  exist(key: string): Promise<Completion> {
    return this.queue.submit({ opcode: kvOpcode.exist, ...this.base, ...keyed(key) });
  }
}

/** Keys of a List. */
function keysOf(data: Buffer): string[] {
  const keys: string[] = [];
  let at = 4;
  for (let left = data.readUInt32LE(0); left > 0 && at + 2 <= data.length; left--) {
    const length = data.readUInt16LE(at);
    keys.push(data.toString('latin1', at + 2, at + 2 + length));
    at += Math.ceil((2 + length) / 4) * 4;
  }
  return keys;
}

const trips = [
  ...[1, 512, 4096, 20_000].map((size) =>
    check(
      row(`trip-${size}`, '3.2.5', `Store and Retrieve of ${size} bytes`),
      'the same bytes, and their number in dword 0',
      async (bench) => {
        const keys = await Keys.open(bench);
        const value = pattern(size, size);
        const stored = await keys.store('conform-trip', value);
        const back = await keys.retrieve('conform-trip', size);
        return all(
          of('Store', succeeded(stored)),
          of('Retrieve', succeeded(back)),
          holds(back.dw0 === size && back.data.subarray(0, size).equals(value), `${back.dw0} bytes`),
        );
      },
    ),
  ),
  check(
    row('part', '3.2.4', 'Retrieve with a buffer that is shorter than the value'),
    'its beginning, and its whole size in dword 0',
    async (bench) => {
      const keys = await Keys.open(bench);
      const value = pattern(1000, 5);
      await keys.store('conform-part', value);
      const back = await keys.retrieve('conform-part', 512);
      return all(
        succeeded(back),
        holds(back.dw0 === 1000 && back.data.equals(value.subarray(0, 512)), `${back.dw0} bytes`),
      );
    },
  ),
  check(row('delete', '3.2.1', 'Delete, then Exist and Retrieve'), 'Key Does Not Exist', async (bench) => {
    const keys = await Keys.open(bench);
    await keys.store('conform-delete', pattern(16, 1));
    const before = await keys.exist('conform-delete');
    const deleted = await keys.delete('conform-delete');
    const exist = await keys.exist('conform-delete');
    const back = await keys.retrieve('conform-delete', 16);
    const gone = (done: Completion) =>
      holds((done.status & 0x7ff) === generic.keyDoesNotExist, `status ${done.status.toString(16)}h`);
    return all(
      of('Exist', succeeded(before)),
      of('Delete', succeeded(deleted)),
      of('Exist', gone(exist)),
      of('Retrieve', gone(back)),
    );
  }),
  check(row('list', '3.2.3', 'List'), 'the keys that were stored, each once', async (bench) => {
    const keys = await Keys.open(bench);
    const mine = ['conform-l0', 'conform-l1', 'conform-l2'];
    for (const key of mine) await keys.store(key, pattern(8, 1));
    const seen: string[] = [];
    const done = await keys.list('conform-l0', 4096);
    seen.push(...keysOf(done.data));
    const first = seen.includes('conform-l0');
    return all(succeeded(done), holds(first && new Set(seen).size === seen.length, `${seen.length} keys`));
  }),
];

const refusals = [
  answers(
    row('absent', '3.2.4', 'Retrieve of a key that there is not'),
    generic.keyDoesNotExist,
    async (bench) => {
      const keys = await Keys.open(bench);
      await keys.delete('conform-absent');
      return keys.retrieve('conform-absent', 16);
    },
  ),
  answers(
    row('delete-absent', '3.2.1', 'Delete of a key that there is not'),
    generic.keyDoesNotExist,
    async (bench) => {
      const keys = await Keys.open(bench);
      await keys.delete('conform-absent');
      return keys.delete('conform-absent');
    },
  ),
  answers(
    row('update-absent', '3.2.5', 'Store only if the key is there, where it is not'),
    generic.keyDoesNotExist,
    async (bench) => {
      const keys = await Keys.open(bench);
      await keys.delete('conform-new');
      return keys.store('conform-new', pattern(16, 1), onlyIfThere);
    },
  ),
  answers(
    row('create-present', '3.2.5', 'Store only if the key is not there, where it is'),
    generic.keyExists,
    async (bench) => {
      const keys = await Keys.open(bench);
      await keys.store('conform-old', pattern(16, 1));
      return keys.store('conform-old', pattern(16, 2), onlyIfNotThere);
    },
  ),
  answers(
    row('key-0', '3.2.5', 'Store with a key of 0 bytes'),
    [generic.invalidKeySize, generic.invalidField],
    async (bench) => (await Keys.open(bench)).store('', pattern(16, 1), 0, 0),
  ),
  answers(
    row('key-17', '3.2.5', 'Store with a key of 17 bytes'),
    [generic.invalidKeySize, generic.invalidField],
    async (bench) => (await Keys.open(bench)).store('conform', pattern(16, 1), 0, 17),
  ),
];

export const kvChecks: readonly Check[] = [...trips, ...refusals];
