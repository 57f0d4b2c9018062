import { addIoStat, type IoStatJson, ioStatJson, type ModuleCall, newIoStat } from '@spdk-ts/bdev';
import type { NvmeTarget } from '@spdk-ts/nvme';
import { anaState } from '@spdk-ts/nvme-spec';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { ChannelPaths, PathStat } from './context.ts';
import type { ControllerEntry } from './controller-control.ts';
import type { ControllerGroup } from './group-control.ts';
import { describePolicy, type MultipathOptions, samePolicy } from './multipath-control.ts';
import type { NamespaceBdev } from './namespace-control.ts';

const anaNames: Readonly<Record<number, string>> = {
  [anaState.optimized]: 'optimized',
  [anaState.nonOptimized]: 'non-optimized',
  [anaState.inaccessible]: 'inaccessible',
  [anaState.persistentLoss]: 'persistent-loss',
  [anaState.change]: 'change',
};

const tridOf = ({ trid: { trtype, adrfam, traddr, trsvcid, subnqn } }: NvmeTarget) => ({
  ...{ trtype, adrfam, traddr, trsvcid, subnqn },
});

/** As bdev_nvme_get_controllers tells of the controllers of a name. */
export function describeControllers({ name, entries }: ControllerGroup) {
  const ctrlrs = entries.map((entry) => {
    const { state, target, cntlid, alternates } = entry;
    const host = { nqn: target.options.hostnqn, addr: target.trid.hostaddr, svcid: '' };
    return {
      ...{ state, trid: tridOf(target) },
      ...(alternates.length > 0 && { alternate_trids: alternates.map(tridOf) }),
      ...{ cntlid, host },
    };
  });
  return { name, ctrlrs };
}

const hex = (value: number): string => `0x${value.toString(16).padStart(4, '0')}`;

function describePath(entry: ControllerEntry, nsid: number) {
  const { vid, sn, mn, fr, subnqn, oacs, version, cmic } = entry.info;
  const state = entry.anaOf(nsid);
  return {
    trid: tridOf(entry.target),
    ctrlr_data: {
      ...{ cntlid: entry.cntlid, vendor_id: hex(vid), model_number: mn.trim(), serial_number: sn.trim() },
      ...{ firmware_revision: fr.trim(), subnqn },
      oacs: {
        security: oacs & 1,
        format: (oacs >> 1) & 1,
        firmware: (oacs >> 2) & 1,
        ns_manage: (oacs >> 3) & 1,
      },
      ...{ multi_ctrlr: (cmic & 2) !== 0, ana_reporting: (cmic & 8) !== 0 },
    },
    vs: { nvme_version: `${version >>> 16}.${(version >>> 8) & 0xff}` },
    ns_data: {
      id: nsid,
      ...(state !== undefined && { ana_state: anaNames[state] ?? `state ${state}` }),
      can_share: ((entry.namespaces.get(nsid)?.identify.nmic ?? 0) & 1) !== 0,
    },
  };
}

/** `driver_specific` of a bdev. */
export function describeBdev({ paths, nsid, multipath }: NamespaceBdev): Record<string, unknown> {
  const { policy: mp_policy, selector, min_io: rr_min_io } = describePolicy(multipath);
  return {
    nvme: paths.map((entry) => describePath(entry, nsid)),
    mp_policy,
    ...(selector !== undefined && { selector }),
    ...(rr_min_io !== undefined && { rr_min_io }),
  };
}

type ById = ReadonlyMap<number, { readonly entry: ControllerEntry; readonly group: ControllerGroup }>;

function bdevName(byId: ById, number: number): string {
  for (const { group } of byId.values())
    for (const bdev of group.bdevs.values()) if (bdev.number === number) return bdev.name;
  return '';
}

/** bdev_nvme_get_io_paths: of all bdevs, or of one. */
export async function ioPaths(host: ReactorHost, byId: ById, name?: string) {
  const told = ((await host.broadcast('bdev_nvme', 'ioPaths')) as ChannelPaths[][]).flat();
  const threads = new Map<string, ReturnType<typeof describe>>();
  const describe = ({ bdev, paths }: ChannelPaths) => {
    const bdev_name = bdevName(byId, bdev);
    return paths.flatMap(({ controller, current, connected, accessible }) => {
      const entry = byId.get(controller)?.entry;
      if (entry === undefined || (name !== undefined && name !== bdev_name)) return [];
      const { trtype, traddr, trsvcid, adrfam } = entry.target.trid;
      const transport = { trtype, traddr, trsvcid, adrfam };
      return [{ bdev_name, cntlid: entry.cntlid, current, connected, accessible, transport }];
    });
  };
  for (const channel of told) {
    const known = threads.get(channel.thread) ?? [];
    threads.set(channel.thread, [...known, ...describe(channel)]);
  }
  return { poll_groups: [...threads].map(([thread, io_paths]) => ({ thread, io_paths })) };
}

/** bdev_nvme_get_path_iostat. */
export async function pathStats(host: ReactorHost, { name, number, paths }: NamespaceBdev) {
  const told = ((await host.broadcast('bdev_nvme', 'pathStats', { bdev: number })) as PathStat[][]).flat();
  const stats = paths.map((entry) => {
    const total = newIoStat();
    for (const { controller, stat } of told) if (controller === entry.id) addIoStat(total, stat);
    const stat: IoStatJson = ioStatJson(total);
    return { trid: tridOf(entry.target), stat };
  });
  return { name, stats };
}

/** What save_config writes. */
export const calls = {
  /** The calls that attach the controllers of a name. */
  attach({ entries }: ControllerGroup): ModuleCall[] {
    return entries
      .filter(({ state }) => state !== 'deleting' && state !== 'failed')
      .flatMap(({ attachments }) => attachments)
      .filter(({ saved }) => saved)
      .map(({ call }) => ({ method: 'bdev_nvme_attach_controller', params: { ...call } }));
  },

  /** What was set for a bdev. */
  settings({ name, multipath, preferred }: NamespaceBdev, { entries }: ControllerGroup): ModuleCall[] {
    const found: ModuleCall[] = [];
    if (!entries.some(({ attachments }) => attachments.some(({ saved }) => saved))) return found;
    const attached = entries[0]?.options.multipath_opts;
    if (attached !== undefined && !samePolicy(attached, multipath)) {
      const { min_io: rr_min_io, ...policy } = describePolicy(multipath);
      const params = { name, ...policy, ...(rr_min_io !== undefined && { rr_min_io }) };
      found.push({ method: 'bdev_nvme_set_multipath_policy', params });
    }
    // Controller ids are given anew at each connection: the place is what stays.
    if (preferred !== null) {
      const { traddr, trsvcid } = preferred.target.trid;
      found.push({ method: 'bdev_nvme_set_preferred_path', params: { name, traddr, trsvcid } });
    }
    return found;
  },

  policy: (options: MultipathOptions): Partial<MultipathOptions> => describePolicy(options),
};
