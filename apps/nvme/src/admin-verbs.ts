import { readFileSync } from 'node:fs';
import {
  type DiscoveryLog,
  formatTransportId,
  getLogPage,
  identify,
  type ReadLog,
  readDiscoveryLog,
  readReferrals,
} from '@spdk-ts/nvme';
import {
  adminOpcode,
  adrfamName,
  cns,
  type DiscoveryLogEntry,
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  featureSelect,
  fidName,
  formatEui64,
  formatNguid,
  formatUuid,
  identifyNamespace,
  lid,
  smartLog,
  trtypeName,
} from '@spdk-ts/nvme-spec';
import type { Command } from 'commander';
import type { Device } from './device.ts';
import { number } from './options.ts';
import { fieldLines, hexLines, structLines } from './output.ts';
import { asIs, type Found, verb } from './verb.ts';

const namespaceOption = (command: Command): Command =>
  command.option('-n, --namespace-id <nsid>', 'namespace', number(), 1);

const asStruct = (value: object): Found => ({ text: structLines(value), json: value });

async function namespaceList(device: Device, all: boolean): Promise<number[]> {
  const structure = all ? cns.allocatedNamespaceList : cns.activeNamespaceList;
  return decodeNamespaceList(await identify(device.admin, structure, 0));
}

async function descriptors(device: Device, nsid: number): Promise<Found> {
  const ids = decodeNamespaceDescriptors(await identify(device.admin, cns.namespaceDescriptors, nsid));
  const value = {
    ...(ids.eui64 && { eui64: formatEui64(ids.eui64) }),
    ...(ids.nguid && { nguid: formatNguid(ids.nguid) }),
    ...(ids.uuid && { uuid: formatUuid(ids.uuid) }),
    ...(ids.csi !== undefined && { csi: ids.csi }),
  };
  return asStruct(value);
}

/** Identify and lists. */
export function addIdentifyVerbs(program: Command): void {
  verb(program, 'id-ctrl', 'Identify Controller', asIs, async (device) => asStruct(await device.identify()));
  verb<{ namespaceId: number }>(
    program,
    'id-ns',
    'Identify Namespace',
    namespaceOption,
    async (device, { namespaceId }) =>
      asStruct(identifyNamespace.decode(await identify(device.admin, cns.namespace, namespaceId))),
  );
  verb<{ namespaceId: number }>(
    program,
    'ns-descs',
    'Namespace Identification Descriptors',
    namespaceOption,
    (device, values) => descriptors(device, values.namespaceId),
  );
  verb<{ all?: boolean }>(
    program,
    'list-ns',
    'Active namespaces',
    (command) => command.option('-a, --all', 'allocated ones too'),
    async (device, { all }) => {
      const nsids = await namespaceList(device, all === true);
      return {
        text: nsids.map((nsid, i) => `[${String(i).padStart(4)}]:0x${nsid.toString(16)}`),
        json: { nsid_list: nsids.map((nsid) => ({ nsid })) },
      };
    },
  );
}

/** Log pages, and the one of discovery. */
export function addLogVerbs(program: Command): void {
  interface LogValues {
    readonly logId: number;
    readonly logLen: number;
    readonly namespaceId: number;
    readonly lpo: number;
    readonly lsp: number;
    readonly lsi: number;
    readonly csi: number;
    readonly rae?: boolean;
  }
  verb<LogValues>(
    program,
    'get-log',
    'Get Log Page',
    (command) =>
      command
        .requiredOption('-i, --log-id <lid>', 'log page', number(0xff))
        .requiredOption('-l, --log-len <bytes>', 'length, a multiple of 4', number(128 * 1024))
        .option('-n, --namespace-id <nsid>', 'namespace', number(), 0xffff_ffff)
        .option('-L, --lpo <offset>', 'offset', number(Number.MAX_SAFE_INTEGER), 0)
        .option('-s, --lsp <field>', 'log specific parameter', number(0x7f), 0)
        .option('-S, --lsi <field>', 'log specific identifier', number(0xffff), 0)
        .option('-y, --csi <csi>', 'command set', number(0xff), 0)
        .option('-r, --rae', 'retain asynchronous events'),
    async (device, { logId, logLen, namespaceId, lpo, lsp, lsi, csi, rae }) => {
      if (logLen % 4 !== 0 || logLen === 0)
        throw new Error(`--log-len is ${logLen}: it must be a multiple of 4`);
      const more = { lsp, lsi, csi, rae: rae === true };
      const data = await getLogPage(device.admin, logId, logLen, {
        nsid: namespaceId,
        offset: lpo,
        ...more,
      });
      return { text: hexLines(data), json: { data } };
    },
  );
  verb(program, 'smart-log', 'SMART / Health Information', asIs, async (device) =>
    asStruct(
      smartLog.decode(await getLogPage(device.admin, lid.smart, smartLog.size, { nsid: 0xffff_ffff })),
    ),
  );
  verb<{ referrals?: boolean }>(
    program,
    'discover',
    'Subsystems that a discovery controller names',
    (command) => command.option('--referrals', 'ask the discovery controllers that it refers to, too'),
    discover,
  );
}

async function discover(device: Device, { referrals }: { referrals?: boolean }): Promise<Found> {
  const { remote } = device;
  if (remote === null)
    throw new Error('discover needs a transport id: a device of this machine names no subsystems');
  const log = await readDiscoveryLog(remote.admin);
  const told = { text: logLines(log), json: logJson(log) };
  if (referrals !== true) return told;
  const { group, target } = remote.controller;
  const others = await readReferrals(group, target, log);
  return {
    text: [...told.text, ...others.flatMap(referralLines)],
    json: {
      ...told.json,
      referrals: others.map(({ trid, log: its, error }) => ({
        trid,
        ...(its !== null && logJson(its)),
        ...(error !== null && { error: error.message }),
      })),
    },
  };
}

const logJson = ({ genctr, entries }: DiscoveryLog) => ({ genctr, records: entries.map(record) });

const logLines = ({ genctr, entries }: DiscoveryLog): string[] => [
  `Discovery Log Number of Records ${entries.length}, Generation counter ${genctr}`,
  ...entries.flatMap(recordLines),
];

const referralLines = ({ trid, log, error }: ReadLog): string[] => [
  '',
  `Referred to ${formatTransportId(trid)}`,
  ...(log === null ? [error!.message] : logLines(log)),
];

const subtypes = [
  'unrecognized',
  'discovery subsystem referral',
  'nvme subsystem',
  'current discovery subsystem',
];

function record(entry: DiscoveryLogEntry) {
  const { portid, subnqn } = entry;
  return {
    trtype: trtypeName(entry.trtype).toLowerCase(),
    adrfam: adrfamName(entry.adrfam).toLowerCase(),
    subtype: subtypes[entry.subtype] ?? subtypes[0]!,
    treq: entry.treq,
    ...{ portid, trsvcid: entry.trsvcid.trim(), subnqn, traddr: entry.traddr.trim() },
    eflags: entry.eflags,
    sectype: entry.sectype,
  };
}

const recordLines = (entry: DiscoveryLogEntry, index: number): string[] => [
  `=====Discovery Log Entry ${index}======`,
  ...Object.entries(record(entry)).map(([name, value]) => `${`${name}:`.padEnd(9)}${value}`),
];

const selections = Object.keys(featureSelect);

/** Get and Set Features. */
export function addFeatureVerbs(program: Command): void {
  interface GetValues {
    readonly featureId: number;
    readonly namespaceId: number;
    readonly sel: number;
    readonly cdw11: number;
    readonly dataLen: number;
  }
  verb<GetValues>(
    program,
    'get-feature',
    'Get Features',
    (command) =>
      command
        .requiredOption('-f, --feature-id <fid>', 'feature', number(0xff))
        .option('-n, --namespace-id <nsid>', 'namespace', number(), 0)
        .option('-s, --sel <select>', '0 current, 1 default, 2 saved, 3 supported capabilities', number(3), 0)
        .option('-c, --cdw11 <value>', 'dword 11', number(), 0)
        .option('-l, --data-len <bytes>', 'data of the feature', number(4096), 0),
    async (device, { featureId, namespaceId, sel, cdw11, dataLen }) => {
      const fields = {
        opcode: adminOpcode.getFeatures,
        nsid: namespaceId,
        cdw10: featureId | (sel << 8),
        cdw11,
      };
      const { dw0, data } = await device.admin.succeed(fields, { in: dataLen, what: 'Get Features' });
      const which = selections[sel]!.replace(/([A-Z])/g, ' $1').toLowerCase();
      const head = `get-feature:0x${featureId.toString(16).padStart(2, '0')} (${fidName(featureId)}), ${which} value:0x${dw0.toString(16).padStart(8, '0')}`;
      return {
        text: data.length === 0 ? [head] : [head, ...hexLines(data)],
        json: { fid: featureId, value: dw0, data },
      };
    },
  );
  interface SetValues {
    readonly featureId: number;
    readonly namespaceId: number;
    readonly value: number;
    readonly cdw12: number;
    readonly save?: boolean;
    readonly data?: string;
  }
  verb<SetValues>(
    program,
    'set-feature',
    'Set Features',
    (command) =>
      command
        .requiredOption('-f, --feature-id <fid>', 'feature', number(0xff))
        .requiredOption('-V, --value <value>', 'dword 11', number())
        .option('-n, --namespace-id <nsid>', 'namespace', number(), 0)
        .option('-c, --cdw12 <value>', 'dword 12', number(), 0)
        .option('-s, --save', 'keep it over a reset')
        .option('-d, --data <file>', 'data of the feature'),
    async (device, { featureId, namespaceId, value, cdw12, save, data }) => {
      const cdw10 = (featureId | (save === true ? 0x8000_0000 : 0)) >>> 0;
      const fields = { opcode: adminOpcode.setFeatures, nsid: namespaceId, cdw10, cdw11: value, cdw12 };
      const out = data === undefined ? {} : { out: new Uint8Array(readFileSync(data)) };
      const { dw0 } = await device.admin.succeed(fields, { ...out, what: 'Set Features' });
      const head = `set-feature:0x${featureId.toString(16).padStart(2, '0')} (${fidName(featureId)}), value:0x${value.toString(16).padStart(8, '0')}`;
      return {
        text: [head, ...(dw0 === 0 ? [] : fieldLines('result', dw0))],
        json: { fid: featureId, value, result: dw0 },
      };
    },
  );
}
