/** Get Log Page (Base 2.0, 5.16): every page, and offsets, lengths and identifiers that are wrong. */
import {
  cns,
  commandEffect,
  decodeCommandEffects,
  decodeSupportLog,
  errorLogEntry,
  firmwareSlotLog,
  lid,
  lidName,
  lpa,
  NSID_ALL,
  nvmOpcode,
  smartLog,
} from '@spdk-ts/nvme-spec';
import { pattern, read, write } from '../../host/index.ts';
import { dataOf, getLog, identify } from '../admin.ts';
import type { Bench } from '../bench.ts';
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
  tcpCheck,
} from '../check.ts';
import { command, generic } from '../codes.ts';
import type { Facts } from '../facts.ts';

const LOG = 'Base 2.0, 5.16';
const row = (id: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `log.${id}`,
  section: LOG,
  title,
  ...more,
});
const hex = (value: number): string => `${(value >>> 0).toString(16)}h`;

interface Page {
  readonly id: number;
  readonly bytes: number;
  readonly unless?: (facts: Facts) => string;
}
const lacks =
  (bit: number, what: string) =>
  ({ controller }: Facts): string =>
    controller.lpa & bit ? '' : `it is not supported (${what})`;

const pages: readonly Page[] = [
  { id: lid.supportedLogPages, bytes: 1024, unless: lacks(lpa.supportedAndEffects, 'LPA bit 5') },
  { id: lid.errorInformation, bytes: 64 },
  { id: lid.smart, bytes: 512 },
  { id: lid.firmwareSlot, bytes: 512 },
  {
    id: lid.changedNamespaceList,
    bytes: 4096,
    unless: ({ controller }) => (controller.oaes & 0x100 ? '' : 'it is not supported (OAES bit 8)'),
  },
  { id: lid.commandEffects, bytes: 4096, unless: lacks(lpa.commandEffects, 'LPA bit 1') },
  { id: lid.featureEffects, bytes: 1024, unless: lacks(lpa.supportedAndEffects, 'LPA bit 5') },
  {
    id: lid.ana,
    bytes: 16,
    unless: ({ controller }) => (controller.cmic & 8 ? '' : 'there is no ANA reporting (CMIC bit 3)'),
  },
];

const each = pages.flatMap(({ id, bytes, unless }) => [
  answers(row(hex(id), lidName(id), { unless }), 0, async (bench) => getLog(await bench.admin(), id, bytes)),
  check(
    row(`${hex(id)}-part`, `${lidName(id)}: all of it, and a dword of its middle`, {
      unless: (facts) => unless?.(facts) || lacks(lpa.extendedData, 'offsets: LPA bit 2')(facts),
    }),
    'the same bytes',
    async (bench) => {
      const admin = await bench.admin();
      const offset = bytes / 2;
      const whole = await getLog(admin, id, bytes);
      const part = await getLog(admin, id, 4, { offset });
      const same = whole.data.subarray(offset, offset + 4).equals(part.data);
      return all(
        succeeded(whole),
        succeeded(part),
        holds(same, same ? 'the same' : part.data.toString('hex')),
      );
    },
  ),
  check(
    row(`${hex(id)}-offset`, `${lidName(id)} from an offset of 1 GiB, behind its end`, {
      unless: (facts) => unless?.(facts) || lacks(lpa.extendedData, 'offsets: LPA bit 2')(facts),
    }),
    'Invalid Field in Command',
    async (bench) =>
      hasStatus(await getLog(await bench.admin(), id, 4, { offset: 2 ** 30 }), [generic.invalidField]),
  ),
]);

const unknown = [0x17, 0x5f, 0x71, 0x7f, 0xbe].map((id) =>
  answers(
    row(`unknown-${hex(id)}`, `The reserved log page ${hex(id)}`),
    [command.invalidLogPage, generic.invalidField],
    async (bench) => getLog(await bench.admin(), id, 512),
  ),
);

const discovery = answers(
  row('discovery', 'The discovery log page of an I/O controller'),
  [command.invalidLogPage, generic.invalidField],
  async (bench) => getLog(await bench.admin(), lid.discovery, 1024),
);

const wrong = [
  check(
    row('offset-misaligned', 'SMART from an offset of 2 bytes', {
      unless: lacks(lpa.extendedData, 'LPA bit 2'),
    }),
    'Invalid Field in Command; or bits 1:0 are taken as 0',
    async (bench) => {
      const admin = await bench.admin();
      const done = await getLog(admin, lid.smart, 16, { offset: 2 });
      if (done.status !== 0) return hasStatus(done, [generic.invalidField]);
      const start = await getLog(admin, lid.smart, 16);
      return holds(done.data.equals(start.data), 'success');
    },
  ),
  answers(
    row('offset-index', 'SMART from an index (OT), which its page 00h does not offer', {
      unless: ({ pages: all }) =>
        all === null ? 'there is no page 00h' : (all.get(lid.smart) ?? 0) & 2 ? 'it does' : '',
      severity: 'should',
    }),
    generic.invalidField,
    async (bench) => getLog(await bench.admin(), lid.smart, 16, { offset: 4, cdw14: 0x80_0000 }),
  ),
  tcpCheck(
    row('sgl-short', 'SMART: NUMD for 512 bytes, an SGL of 256', { severity: 'should' }),
    'Data SGL Length Invalid or Invalid Field in Command',
    async (bench) =>
      hasStatus(await getLog((await bench.connect()).admin, lid.smart, 512, { bytes: 256 }), [
        generic.dataSglLengthInvalid,
        generic.invalidField,
      ]),
  ),
  check(row('numd-dword', 'SMART: one dword'), 'the first four bytes of the page', async (bench) => {
    const admin = await bench.admin();
    const done = await getLog(admin, lid.smart, 4);
    return all(succeeded(done), holds(done.data.length === 4, `${done.data.length} bytes`));
  }),
  check(
    row('numd-long', 'Firmware Slot: 4096 bytes, of a page that has 512', { severity: 'may' }),
    'success, with the page at the beginning; or Invalid Field in Command',
    async (bench) => {
      const admin = await bench.admin();
      const page = await getLog(admin, lid.firmwareSlot, 512);
      const done = await getLog(admin, lid.firmwareSlot, 4096);
      if (done.status !== 0) return hasStatus(done, [generic.invalidField, generic.dataSglLengthInvalid]);
      const same = done.data.subarray(0, 512).equals(page.data);
      return holds(same, same ? 'the page at the beginning' : 'something else');
    },
  ),
];

const scopes = [
  answers(row('smart-controller', 'SMART with NSID 0'), 0, async (bench) =>
    getLog(await bench.admin(), lid.smart, 512, { nsid: 0 }),
  ),
  answers(
    row('smart-namespace', 'SMART of one namespace, where there is none (LPA bit 0)', {
      unless: ({ controller }) =>
        controller.lpa & lpa.smartPerNamespace ? 'there is one of each namespace' : '',
      severity: 'should',
    }),
    generic.invalidField,
    async (bench) => getLog(await bench.admin(), lid.smart, 512, { nsid: bench.facts.ns.nsid }),
  ),
];

// --- what the pages say ---

const smart = async (bench: Bench) =>
  smartLog.decode(await dataOf('SMART', getLog(await bench.admin(), lid.smart, 512)));

const truths = [
  check(
    row('smart-counts', 'SMART before and after reads and writes of a megabyte each', {
      section: 'Base 2.0, 5.16.1.3',
    }),
    'the counters of commands and data units grow by at least as much',
    async (bench) => {
      const { nsid, block_size } = bench.facts.ns;
      const queue = await bench.io();
      const before = await smart(bench);
      const bytes = Math.min(65_536, bench.facts.transfer_max);
      const times = Math.ceil(1_048_576 / bytes);
      const data = pattern(bytes, 11);
      for (let i = 0; i < times; i++) {
        await write(queue, 0, data, { nsid, block_size });
        await read(queue, 0, bytes, { nsid, block_size });
      }
      const after = await smart(bench);
      const units = Math.floor((times * bytes) / 512_000);
      const grown = (
        key: 'hostReadCommands' | 'hostWriteCommands' | 'dataUnitsRead' | 'dataUnitsWritten',
        least: number,
      ) => of(key, holds(after[key] - before[key] >= least, `${before[key]}, then ${after[key]}`));
      return all(
        grown('hostReadCommands', times),
        grown('hostWriteCommands', times),
        grown('dataUnitsRead', units),
        grown('dataUnitsWritten', units),
      );
    },
  ),
  check(
    row('smart-sane', 'SMART', { section: 'Base 2.0, 5.16.1.3' }),
    'percentages up to 100 where they are such, spare above its threshold unless a warning says otherwise',
    async (bench) => {
      const { availableSpare, availableSpareThreshold, criticalWarning, powerCycles } = await smart(bench);
      return all(
        holds(
          availableSpare <= 100 && availableSpareThreshold <= 100,
          `spare ${availableSpare} %, threshold ${availableSpareThreshold} %`,
        ),
        holds(
          availableSpare >= availableSpareThreshold || (criticalWarning & 1) !== 0,
          `warning ${criticalWarning}`,
        ),
        holds(powerCycles >= 0, `${powerCycles} power cycles`),
      );
    },
  ),
  check(
    row('firmware', 'Firmware Slot Information', { section: 'Base 2.0, 5.16.1.4' }),
    'the active slot is 1 to 7 and has the revision of Identify',
    async (bench) => {
      const log = firmwareSlotLog.decode(
        await dataOf('Firmware Slot', getLog(await bench.admin(), lid.firmwareSlot, 512)),
      );
      const slot = log.afi & 7;
      const revision = log.frs[slot - 1] ?? '';
      return all(
        holds(slot >= 1, `slot ${slot}`),
        holds(
          revision === bench.facts.controller.fr,
          `${JSON.stringify(revision)}, Identify ${JSON.stringify(bench.facts.controller.fr)}`,
        ),
      );
    },
  ),
  check(
    row('error-entry', 'Error Information, after a read behind the end of a namespace', {
      section: 'Base 2.0, 5.16.1.2',
      severity: 'should',
    }),
    'the newest entry names the queue, the command and its status; the count has grown',
    async (bench) => {
      const { host, queue } = await bench.pair();
      const { nsid, block_size, blocks } = bench.facts.ns;
      const entry = async () =>
        errorLogEntry.decode(await dataOf('Error Information', getLog(host.admin, lid.errorInformation, 64)));
      const before = await entry();
      const failed = await read(queue, blocks, block_size, { nsid, block_size });
      const after = await entry();
      const code = (after.statusField >>> 1) & 0x7ff;
      return all(
        holds(after.errorCount > before.errorCount, `count ${before.errorCount}, then ${after.errorCount}`),
        holds(
          after.sqid === 1 && after.cid === failed.cid,
          `queue ${after.sqid}, CID ${after.cid} for ${failed.cid}`,
        ),
        holds(code === (failed.status & 0x7ff), `status ${hex(code)} for ${hex(failed.status)}`),
        holds(after.nsid === nsid, `NSID ${after.nsid}`),
      );
    },
  ),
  check(
    row('supported', 'Supported Log Pages', { unless: lacks(lpa.supportedAndEffects, 'LPA bit 5') }),
    'every page that it names is there; none of the others is',
    async (bench) => {
      const admin = await bench.admin();
      const named = decodeSupportLog(
        await dataOf('Supported Log Pages', getLog(admin, lid.supportedLogPages, 1024)),
      );
      const wrongs: string[] = [];
      for (let id = 0; id < 256; id++) {
        // Some pages take parameters that this does not know, or are made on demand.
        const there = ((named.get(id) ?? 0) & 1) !== 0;
        if (
          there &&
          (id === lid.persistentEvent || id === lid.telemetryHost || id === lid.telemetryController)
        )
          continue;
        const { status } = await getLog(admin, id, 16);
        const refusedAs = status & 0x7ff;
        const absent = refusedAs === command.invalidLogPage || refusedAs === generic.invalidField;
        if (there ? status !== 0 : !absent)
          wrongs.push(`${hex(id)} ${there ? 'is named' : 'is not named'}: ${hex(status)}`);
      }
      return holds(wrongs.length === 0, wrongs.length === 0 ? `${named.size} pages` : wrongs.join(', '));
    },
  ),
  check(
    row('effects', 'Commands Supported and Effects', {
      section: 'Base 2.0, 5.16.1.6',
      unless: lacks(lpa.commandEffects, 'LPA bit 1'),
    }),
    'Read, Write and Flush, and what ONCS says, are named; Write changes contents',
    async (bench) => {
      const { io } = decodeCommandEffects(
        await dataOf('Effects', getLog(await bench.admin(), lid.commandEffects, 4096)),
      );
      const names = (opcode: number): boolean => ((io.get(opcode) ?? 0) & commandEffect.supported) !== 0;
      const { oncs } = bench.facts.controller;
      const bits: [number, number][] = [
        [0x1, nvmOpcode.compare],
        [0x2, nvmOpcode.writeUncorrectable],
        [0x4, nvmOpcode.datasetManagement],
        [0x8, nvmOpcode.writeZeroes],
        [0x80, nvmOpcode.verify],
        [0x100, nvmOpcode.copy],
      ];
      return all(
        ...[nvmOpcode.read, nvmOpcode.write, nvmOpcode.flush].map((opcode) =>
          holds(names(opcode), `opcode ${hex(opcode)}`),
        ),
        ...bits
          .filter(([bit]) => (oncs & bit) !== 0)
          .map(([bit, opcode]) => holds(names(opcode), `ONCS ${hex(bit)}, opcode ${hex(opcode)}`)),
        holds(((io.get(nvmOpcode.write) ?? 0) & commandEffect.lbcc) !== 0, 'Write has LBCC'),
      );
    },
  ),
  check(
    row('changed', 'Changed Namespace List, where nothing has changed', {
      unless: ({ controller }) => (controller.oaes & 0x100 ? '' : 'it is not supported (OAES bit 8)'),
    }),
    'an empty list',
    async (bench) => {
      const host = await bench.connect();
      const list = await dataOf(
        'Changed Namespace List',
        getLog(host.admin, lid.changedNamespaceList, 4096, { rae: false }),
      );
      return holds(
        list.every((byte) => byte === 0),
        `first NSID ${list.readUInt32LE(0)}`,
      );
    },
  ),
];

const elsewhere = check(
  row('identify-beside', 'Get Log Page and Identify at once, eight of each'),
  'each gets its own data',
  async (bench) => {
    const admin = await bench.admin();
    const [page] = [await getLog(admin, lid.firmwareSlot, 512)];
    const data = await dataOf('Identify', identify(admin, cns.controller));
    const logs = Array.from({ length: 8 }, () => getLog(admin, lid.firmwareSlot, 512, { nsid: NSID_ALL }));
    const ids = Array.from({ length: 8 }, () => identify(admin, cns.controller));
    const sameLogs = (await Promise.all(logs)).every((done) => done.data.equals(page!.data));
    const sameIds = (await Promise.all(ids)).every((done) => done.data.equals(data));
    return holds(sameLogs && sameIds, sameLogs && sameIds ? 'their own' : 'other data');
  },
);

export const logChecks: readonly Check[] = [
  ...each,
  ...unknown,
  discovery,
  ...wrong,
  ...scopes,
  ...truths,
  elsewhere,
];
