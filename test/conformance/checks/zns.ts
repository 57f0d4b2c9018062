/** The Zoned Namespace Command Set 1.1, where the subsystem has such a namespace. */
import { cns, csi, type SqeFields, znsOpcode } from '@spdk-ts/nvme-spec';
import { type CommandQueue, type Completion, pattern } from '../../host/index.ts';
import { identify } from '../admin.ts';
import type { Bench, Pair } from '../bench.ts';
import {
  all,
  answers,
  type Check,
  check,
  hasStatus,
  holds,
  of,
  type Row,
  succeeded,
  type Unless,
} from '../check.ts';
import { command, generic } from '../codes.ts';

const needsZones: Unless = ({ zoned }) => (zoned === null ? 'there is no zoned namespace' : '');
const row = (id: string, section: string, title: string): Row => ({
  ...{ id: `zns.${id}`, section: `ZNS 1.1, ${section}`, title },
  unless: needsZones,
});
const SEND = '3.4.3';
const RECEIVE = '3.4.2';
const APPEND = '3.4.1';

/** Zone Send Action. */
const action = { close: 1, finish: 2, open: 3, reset: 4, offline: 5 } as const;
/** Zone State. */
const state = { empty: 1, implicitlyOpen: 2, explicitlyOpen: 3, closed: 4, full: 0xe } as const;
const SELECT_ALL = 0x100;
const DESCRIPTOR = 64;

interface Zone {
  readonly state: number;
  readonly capacity: number;
  readonly start: number;
  readonly pointer: number;
}

const lbaOf = (lba: number) => ({ cdw10: lba >>> 0, cdw11: Math.floor(lba / 2 ** 32) });

/** The zoned namespace through a host of its own. */
class Zones {
  readonly queue: CommandQueue;
  readonly nsid: number;
  readonly block_size: number;
  readonly blocks: number;

  static async open(bench: Bench, pair?: Pair): Promise<Zones> {
    const { queue } = pair ?? (await bench.pair());
    const zones = new Zones(bench, queue);
    // Zone 0 is where the checks are, and is empty when they begin.
    await zones.send(action.reset, 0);
    return zones;
  }

  private constructor(bench: Bench, queue: CommandQueue) {
    const { nsid, block_size, blocks } = bench.facts.zoned!;
    this.queue = queue;
    this.nsid = nsid;
    this.block_size = block_size;
    this.blocks = blocks;
  }

  send(zsa: number, lba: number, selectAll = false): Promise<Completion> {
    const cdw13 = zsa | (selectAll ? SELECT_ALL : 0);
    return this.queue.submit({
      opcode: znsOpcode.zoneManagementSend,
      nsid: this.nsid,
      psdt: 1,
      ...lbaOf(lba),
      cdw13,
    });
  }

  receive(lba: number, bytes: number, cdw13 = 0): Promise<Completion> {
    const fields = { opcode: znsOpcode.zoneManagementReceive, nsid: this.nsid, psdt: 1, ...lbaOf(lba) };
    return this.queue.submitRead({ ...fields, cdw12: bytes / 4 - 1, cdw13 }, bytes);
  }

  async zone(lba: number): Promise<Zone> {
    const { data, status } = await this.receive(lba, 2 * DESCRIPTOR);
    if (status !== 0) throw new Error(`Report Zones ends with status ${status.toString(16)}h`);
    return decodeZone(data.subarray(DESCRIPTOR));
  }

  private data(fields: SqeFields, blocks: number, seed: number): Promise<Completion> {
    const bytes = pattern(blocks * this.block_size, seed);
    const all = { ...fields, nsid: this.nsid, psdt: 1, cdw12: blocks - 1 };
    return bytes.length <= this.queue.inCapsuleMax
      ? this.queue.submit(all, bytes)
      : this.queue.submitR2t(all, bytes);
  }

  write(lba: number, blocks: number, seed: number): Promise<Completion> {
    return this.data({ opcode: 1, ...lbaOf(lba) }, blocks, seed);
  }
  append(lba: number, blocks: number, seed: number): Promise<Completion> {
    return this.data({ opcode: znsOpcode.zoneAppend, ...lbaOf(lba) }, blocks, seed);
  }
  read(lba: number, blocks: number): Promise<Completion> {
    const fields = { opcode: 2, nsid: this.nsid, psdt: 1, ...lbaOf(lba), cdw12: blocks - 1 };
    return this.queue.submitRead(fields, blocks * this.block_size);
  }
}

function decodeZone(bytes: Buffer): Zone {
  return {
    state: bytes[1]! >>> 4,
    capacity: Number(bytes.readBigUInt64LE(8)),
    start: Number(bytes.readBigUInt64LE(16)),
    pointer: Number(bytes.readBigUInt64LE(24)),
  };
}

const inState = (zone: Zone, wanted: number) =>
  holds(zone.state === wanted, `zone state ${zone.state.toString(16)}h`);

const reports = [
  check(
    row('report', RECEIVE, 'Report Zones from block 0, for one zone'),
    'the number of zones; a sequential-write zone at block 0',
    async (bench) => {
      const zones = await Zones.open(bench);
      const done = await zones.receive(0, 2 * DESCRIPTOR);
      const zone = decodeZone(done.data.subarray(DESCRIPTOR));
      return all(
        succeeded(done),
        holds(done.data.readUInt32LE(0) > 0, `${done.data.readUInt32LE(0)} zones`),
        holds((done.data[DESCRIPTOR]! & 0xf) === 2, `zone type ${done.data[DESCRIPTOR]}`),
        holds(zone.start === 0 && zone.capacity > 0, `ZSLBA ${zone.start}, ZCAP ${zone.capacity}`),
      );
    },
  ),
  check(
    row('report-partial', RECEIVE, 'Report Zones with Partial Report, for one zone'),
    'a count of one',
    async (bench) => {
      const done = await (await Zones.open(bench)).receive(0, 2 * DESCRIPTOR, 1 << 16);
      return all(
        succeeded(done),
        holds(done.data.readUInt32LE(0) === 1, `${done.data.readUInt32LE(0)} zones`),
      );
    },
  ),
  check(
    row('report-filter', RECEIVE, 'Report Zones of full zones alone, where there is none at the beginning'),
    'no descriptor of a zone in another state',
    async (bench) => {
      const done = await (await Zones.open(bench)).receive(0, 4096, (5 << 8) | (1 << 16));
      const count = done.data.readUInt32LE(0);
      const states = Array.from(
        { length: Math.min(count, 63) },
        (_, i) => decodeZone(done.data.subarray((i + 1) * DESCRIPTOR)).state,
      );
      return all(
        succeeded(done),
        holds(
          states.every((one) => one === state.full),
          `${count} zones`,
        ),
      );
    },
  ),
  answers(
    row('report-outside', RECEIVE, 'Report Zones from behind the last block'),
    generic.lbaOutOfRange,
    async (bench) => {
      const zones = await Zones.open(bench);
      return zones.receive(zones.blocks, 2 * DESCRIPTOR);
    },
  ),
  answers(
    row('report-action', RECEIVE, 'Zone Management Receive with the reserved action 7Fh'),
    generic.invalidField,
    async (bench) => (await Zones.open(bench)).receive(0, 2 * DESCRIPTOR, 0x7f),
  ),
  answers(
    row('report-state', RECEIVE, 'Report Zones of the reserved state filter FFh'),
    generic.invalidField,
    async (bench) => (await Zones.open(bench)).receive(0, 2 * DESCRIPTOR, 0xff00),
  ),
];

/** Actions on zone 0, and the state that they leave. */
const steps: readonly [string, string, readonly number[], number][] = [
  ['open', 'Open Zone of an empty zone', [action.open], state.explicitlyOpen],
  ['open-close', 'Open Zone, then Close Zone', [action.open, action.close], state.empty],
  ['finish', 'Finish Zone of an empty zone', [action.finish], state.full],
  ['finish-reset', 'Finish Zone, then Reset Zone', [action.finish, action.reset], state.empty],
];
const transitions = steps.map(([id, title, actions, wanted]) =>
  check(row(id, SEND, title), `success, and zone state ${wanted.toString(16)}h`, async (bench) => {
    const zones = await Zones.open(bench);
    const outcomes = [];
    for (const zsa of actions) outcomes.push(of(`action ${zsa}`, succeeded(await zones.send(zsa, 0))));
    const zone = await zones.zone(0);
    // A zone that is closed with nothing written is empty, or closed: both are in the state machine's figure.
    const either = id === 'open-close' && zone.state === state.closed;
    return all(...outcomes, either ? holds(true, 'closed') : inState(zone, wanted));
  }),
);

const refusals = [
  answers(
    row('close-empty', SEND, 'Close Zone of an empty zone'),
    command.invalidZoneStateTransition,
    async (bench) => (await Zones.open(bench)).send(action.close, 0),
  ),
  answers(
    row('open-full', SEND, 'Open Zone of a full zone'),
    command.invalidZoneStateTransition,
    async (bench) => {
      const zones = await Zones.open(bench);
      await zones.send(action.finish, 0);
      return zones.send(action.open, 0);
    },
  ),
  answers(
    row('action-reserved', SEND, 'Zone Management Send with the reserved action 7Fh'),
    generic.invalidField,
    async (bench) => (await Zones.open(bench)).send(0x7f, 0),
  ),
  answers(
    row('not-a-start', SEND, 'Reset Zone with a block that is not the first of a zone'),
    generic.invalidField,
    async (bench) => (await Zones.open(bench)).send(action.reset, 1),
  ),
  answers(
    row('send-outside', SEND, 'Reset Zone behind the last block'),
    generic.lbaOutOfRange,
    async (bench) => {
      const zones = await Zones.open(bench);
      return zones.send(action.reset, zones.blocks);
    },
  ),
];

const writes = [
  check(
    row('write', '2.1.1.2', 'Writes at the write pointer'),
    'success; the pointer moves; the data are read',
    async (bench) => {
      const zones = await Zones.open(bench);
      const one = await zones.write(0, 2, 31);
      const two = await zones.write(2, 1, 32);
      const zone = await zones.zone(0);
      const back = await zones.read(0, 2);
      return all(
        succeeded(one),
        succeeded(two),
        holds(zone.pointer === 3, `write pointer ${zone.pointer}`),
        inState(zone, state.implicitlyOpen),
        holds(back.data.equals(pattern(2 * zones.block_size, 31)), 'the data'),
      );
    },
  ),
  answers(
    row('write-invalid', '2.1.1.2', 'A write that is not at the write pointer'),
    command.zoneInvalidWrite,
    async (bench) => (await Zones.open(bench)).write(1, 1, 33),
  ),
  answers(row('write-full', '2.1.1.2', 'A write to a full zone'), command.zoneIsFull, async (bench) => {
    const zones = await Zones.open(bench);
    await zones.send(action.finish, 0);
    return zones.write(0, 1, 34);
  }),
  check(
    row('append', APPEND, 'Zone Append, twice'),
    'where the data went is told, and they are read there',
    async (bench) => {
      const zones = await Zones.open(bench);
      const one = await zones.append(0, 1, 35);
      const two = await zones.append(0, 2, 36);
      const back = await zones.read(1, 2);
      return all(
        succeeded(one),
        succeeded(two),
        holds(one.dw0 === 0 && two.dw0 === 1, `blocks ${one.dw0} and ${two.dw0}`),
        holds(back.data.equals(pattern(2 * zones.block_size, 36)), 'the data'),
      );
    },
  ),
  answers(
    row('append-start', APPEND, 'Zone Append whose block is not the first of a zone'),
    generic.invalidField,
    async (bench) => (await Zones.open(bench)).append(1, 1, 37),
  ),
  answers(row('append-full', APPEND, 'Zone Append to a full zone'), command.zoneIsFull, async (bench) => {
    const zones = await Zones.open(bench);
    await zones.send(action.finish, 0);
    return zones.append(0, 1, 38);
  }),
];

const identifies = [
  answers(row('identify', '4.1.5.1', 'CNS 05h of the zoned namespace'), 0, async (bench) =>
    identify(await bench.admin(), cns.csiNamespace, { csi: csi.zoned, nsid: bench.facts.zoned!.nsid }),
  ),
  answers(
    row('identify-controller', '4.1.5.3', 'CNS 06h of the Zoned Namespace Command Set'),
    0,
    async (bench) => identify(await bench.admin(), cns.csiController, { csi: csi.zoned }),
  ),
  check(
    {
      ...row('on-nvm', '3.4', 'Zone Management Send to a namespace of the NVM Command Set'),
      unless: undefined,
    },
    'Invalid Command Opcode, Invalid Namespace or Format, or Invalid Field in Command',
    async (bench) => {
      const { nsid } = bench.facts.ns;
      const done = await (await bench.io()).submit({
        opcode: znsOpcode.zoneManagementSend,
        nsid,
        psdt: 1,
        cdw13: action.reset,
      });
      return hasStatus(done, [generic.invalidOpcode, generic.invalidNamespaceOrFormat, generic.invalidField]);
    },
  ),
];

export const znsChecks: readonly Check[] = [
  ...identifies,
  ...reports,
  ...transitions,
  ...refusals,
  ...writes,
];
