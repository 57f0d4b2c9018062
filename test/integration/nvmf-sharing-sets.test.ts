// Reservations at namespaces of every command set: which commands of another host they refuse.
import {
  cns,
  commandEffect,
  csi,
  encodeReservationFields,
  encodeReservationKeys,
  identifyNamespace,
  identifyNamespaceKv,
  kvKeyDwords,
  kvOpcode,
  lid,
  nvmOpcode,
  znsOpcode,
  zoneSendAction,
} from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Completion, RawHost, RawQueue } from '../host/index.ts';
import { CommandSetTarget, createMallocs, DNR } from './command-set-target.ts';

const CONFLICT = 0x083 | DNR;

let sets: CommandSetTarget;
let mine: RawQueue;
let theirs: RawQueue;
let other: RawHost;
beforeAll(async () => {
  sets = await CommandSetTarget.start(async (target) => {
    await createMallocs(target, [
      { name: 'Zoned', ...{ num_blocks: 1024, zone_size: 64 } },
      { name: 'Protected', ...{ md_size: 8, md_interleave: true, dif_type: 1 } },
    ]);
    await target.rpc('bdev_malloc_kv_create', { name: 'Keys', block_size: 512, num_blocks: 1024 });
    return ['Zoned', 'Protected', 'Keys'];
  });
  mine = sets.queue;
  ({ host: other, queue: theirs } = await sets.otherHost());
});
afterAll(async () => {
  other?.close();
  await sets?.stop();
});

const data = new Uint8Array(512);
const key = { cdw11: 1, ...kvKeyDwords(new TextEncoder().encode('k')) };
type Command = readonly [string, (queue: RawQueue, nsid: number) => Promise<Completion>];

/** The commands of each namespace, in an order in which each succeeds: those that read, and those that write. */
const commands: Record<string, { reads: readonly Command[]; writes: readonly Command[] }> = {
  Zoned: {
    writes: [
      ['Zone Append', (queue, nsid) => queue.submit({ opcode: znsOpcode.zoneAppend, nsid, psdt: 1 }, data)],
      [
        'Write Zeroes',
        (queue, nsid) => queue.submit({ opcode: nvmOpcode.writeZeroes, nsid, psdt: 1, cdw10: 1 }),
      ],
      [
        'Zone Management Send',
        (queue, nsid) =>
          queue.submit({ opcode: znsOpcode.zoneManagementSend, nsid, psdt: 1, cdw13: zoneSendAction.reset }),
      ],
    ],
    reads: [
      ['Read', (queue, nsid) => queue.submitRead({ opcode: nvmOpcode.read, nsid, psdt: 1 }, 512)],
      [
        'Zone Management Receive',
        (queue, nsid) =>
          queue.submitRead({ opcode: znsOpcode.zoneManagementReceive, nsid, psdt: 1, cdw12: 1023 }, 4096),
      ],
    ],
  },
  Protected: {
    writes: [
      [
        'Write',
        (queue, nsid) => queue.submit({ opcode: nvmOpcode.write, nsid, psdt: 1, cdw12: 1 << 29 }, data),
      ],
    ],
    reads: [
      [
        'Read',
        (queue, nsid) => queue.submitRead({ opcode: nvmOpcode.read, nsid, psdt: 1, cdw12: 1 << 29 }, 512),
      ],
      ['Verify', (queue, nsid) => queue.submit({ opcode: nvmOpcode.verify, nsid, psdt: 1 })],
    ],
  },
  Keys: {
    writes: [
      [
        'Store',
        (queue, nsid) => queue.submit({ opcode: kvOpcode.store, nsid, psdt: 1, cdw10: 512, ...key }, data),
      ],
    ],
    reads: [
      [
        'Retrieve',
        (queue, nsid) =>
          queue.submitRead({ opcode: kvOpcode.retrieve, nsid, psdt: 1, cdw10: 512, ...key }, 512),
      ],
      [
        'List',
        (queue, nsid) => queue.submitRead({ opcode: kvOpcode.list, nsid, psdt: 1, cdw10: 512, ...key }, 512),
      ],
      ['Exist', (queue, nsid) => queue.submit({ opcode: kvOpcode.exist, nsid, psdt: 1, ...key })],
    ],
  },
};
commands['Keys'] = {
  ...commands['Keys']!,
  writes: [
    ...commands['Keys']!.writes,
    ['Delete', (queue, nsid) => queue.submit({ opcode: kvOpcode.delete, nsid, psdt: 1, ...key })],
    ...commands['Keys']!.writes,
  ],
};

const reserve = async (queue: RawQueue, nsid: number, opcode: number, cdw10: number, ...keys: bigint[]) =>
  (await queue.submit({ opcode, nsid, psdt: 1, cdw10 }, encodeReservationKeys(...keys))).status;

async function outcomes(queue: RawQueue, name: string, which: 'reads' | 'writes') {
  const all: [string, number][] = [];
  for (const [title, run] of commands[name]![which])
    all.push([title, (await run(queue, sets.nsids[name]!)).status]);
  return all;
}
const each = (name: string, which: 'reads' | 'writes', status: number) =>
  commands[name]![which].map(([title]) => [title, status]);

it.each(Object.keys(commands))('%s: a reservation refuses what it is to', async (name) => {
  const nsid = sets.nsids[name]!;
  const free = [each(name, 'writes', 0), each(name, 'reads', 0)];
  const seen = async (queue: RawQueue) => [
    await outcomes(queue, name, 'writes'),
    await outcomes(queue, name, 'reads'),
  ];
  expect(await seen(theirs)).toEqual(free);
  expect(await reserve(mine, nsid, nvmOpcode.reservationRegister, 0, 0n, 1n)).toBe(0);
  for (const [rtype, reads] of [
    [1, 0],
    [2, CONFLICT],
  ] as const) {
    const type = encodeReservationFields({ rtype });
    expect(await reserve(mine, nsid, nvmOpcode.reservationAcquire, type, 1n, 0n)).toBe(0);
    expect(await seen(theirs)).toEqual([each(name, 'writes', CONFLICT), each(name, 'reads', reads)]);
    expect(await seen(mine)).toEqual(free);
    expect(await reserve(mine, nsid, nvmOpcode.reservationRelease, type, 1n)).toBe(0);
  }
  expect(await seen(theirs)).toEqual(free);
  expect(await reserve(mine, nsid, nvmOpcode.reservationRelease, 1, 1n), 'Clear').toBe(0);
});

it('namespaces of all command sets say that they can be reserved', async () => {
  const { host, nsids } = sets;
  for (const name of ['Zoned', 'Protected'])
    expect(identifyNamespace.decode(await host.identify(cns.namespace, nsids[name]!)).rescap).toBe(0xfe);
  const kv = await host.identify(cns.csiNamespace, nsids['Keys']!, csi.keyValue);
  expect(identifyNamespaceKv.decode(kv)).toMatchObject({ rescap: 0xfe, nmic: 1 });
  for (const set of [csi.nvm, csi.zoned, csi.keyValue]) {
    const page = await host.admin.submitRead(
      { opcode: 0x02, psdt: 1, cdw10: lid.commandEffects | (1023 << 16), cdw14: set << 24 },
      4096,
    );
    const opcodes = [0x0d, 0x0e, 0x11, 0x15].map((opcode) => page.data.readUInt32LE(1024 + 4 * opcode));
    expect(opcodes.every((effect) => (effect & commandEffect.supported) !== 0)).toBe(true);
  }
});
