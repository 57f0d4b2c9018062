import type { NamespaceInfo } from '@spdk-ts/nvme';
import { csiName, oncs, versionText } from '@spdk-ts/nvme-spec';
import type { Device } from './device.ts';

/** Everything that the report tells: also what `--json` prints. */
export async function gatherReport(device: Device) {
  const { place, version, title, ...about } = device.about();
  return { ...place, title, ...about, version: versionText(version), namespaces: device.namespaces };
}

export type Report = Awaited<ReturnType<typeof gatherReport>>;

const RULE = '='.repeat(53);
const WIDTH = 40;

const line = (name: string, value: unknown): string => `${`${name}:`.padEnd(WIDTH)} ${value}`;
const yes = (bits: number, mask: number): string => ((bits & mask) !== 0 ? 'Supported' : 'Not Supported');
const section = (title: string): string[] => ['', title, '='.repeat(title.length)];
const bytes = (count: number): string => `${count} (${count / 1024} KiB)`;

function controllerLines({
  controller,
  version,
  capabilities,
  max_transfer_bytes,
  num_io_queues,
  cntlid,
}: Report): string[] {
  const { oncs: commands } = controller;
  return [
    ...section('Controller Capabilities/Features'),
    line('Vendor ID', controller.vid.toString(16).padStart(4, '0')),
    line('Serial Number', controller.sn.trim()),
    line('Model Number', controller.mn.trim()),
    line('Firmware Version', controller.fr.trim()),
    line('Controller ID', cntlid),
    line('NVMe Specification Version (VS)', version),
    line('Subsystem NQN', controller.subnqn),
    ...(capabilities === null ? [] : [line('Maximum Queue Entries', capabilities.mqes + 1)]),
    ...(num_io_queues === null ? [] : [line('I/O Queues Granted', num_io_queues)]),
    line('Max Data Transfer Size', controller.mdts === 0 ? 'Unlimited' : bytes(max_transfer_bytes)),
    line('Max Number of Namespaces', controller.nn),
    line('Keep Alive Granularity', controller.kas === 0 ? 'Not Supported' : `${controller.kas * 100} ms`),
    line('I/O Queue Command Capsule Size', controller.ioccsz * 16),
    ...section('NVM Command Set Attributes'),
    line('Compare Command', yes(commands, oncs.compare)),
    line('Dataset Management Command', yes(commands, oncs.datasetManagement)),
    line('Write Zeroes Command', yes(commands, oncs.writeZeroes)),
    line('Verify Command', yes(commands, oncs.verify)),
    line('Copy Command', yes(commands, oncs.copy)),
    line('Reservations', yes(commands, oncs.reservations)),
    line('Volatile Write Cache', (controller.vwc & 1) !== 0 ? 'Present' : 'Not Present'),
  ];
}

function namespaceLines(info: NamespaceInfo): string[] {
  const { nsid, csi, num_blocks, block_size, md_size, md_interleave, uuid, nguid, eui64, unusable } = info;
  return [
    '',
    `Namespace ID:${nsid}`,
    line('Command Set Identifier', `${csiName(csi)} (${csi.toString(16).padStart(2, '0')}h)`),
    line('Size (in LBAs)', `${num_blocks} (${(num_blocks * block_size) / 2 ** 30} GiB)`),
    line('LBA Size', block_size),
    line('Metadata Size', md_size === 0 ? 0 : `${md_size} (${md_interleave ? 'in the data' : 'apart'})`),
    ...(uuid === '' ? [] : [line('UUID', uuid)]),
    ...(nguid === '' ? [] : [line('NGUID', nguid)]),
    ...(eui64 === '' ? [] : [line('EUI64', eui64)]),
    ...(info.anagrpid === 0 ? [] : [line('ANA Group ID', info.anagrpid)]),
    ...(unusable === '' ? [] : [line('Not usable', unusable)]),
  ];
}

/** The report as spdk_nvme_identify lays it out. */
export function reportLines(report: Report): string[] {
  return [
    RULE,
    report.title,
    RULE,
    ...controllerLines(report),
    ...section('Active Namespaces'),
    ...report.namespaces.flatMap(namespaceLines),
    '',
  ];
}
