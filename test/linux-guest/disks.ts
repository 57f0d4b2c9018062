/** Disks that a virtual machine has of a target's process: NVMe controllers over vfio-user, virtio disks over vhost-user. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Json, Target } from './target.ts';

/** A subsystem of these bdevs as a PCI function. Returns the socket of its endpoint, a folder of the target's. */
export async function addPciFunction(
  target: Target,
  nqn: string,
  bdevs: readonly string[],
  transport: object = {},
): Promise<string> {
  const folder = join(target.folder, 'endpoint');
  await mkdir(folder);
  await target.rpc('nvmf_create_transport', { trtype: 'VFIOUSER', ...transport });
  await target.rpc('nvmf_create_subsystem', { nqn, allow_any_host: true, serial_number: 'SPDKTSPCI' });
  for (const bdev_name of bdevs) await target.rpc('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name } });
  const listen_address = { trtype: 'VFIOUSER', traddr: folder, trsvcid: '0' };
  await target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address });
  return join(folder, 'cntrl');
}

/** How doorbells came, of all reactors: `trapped`, `mapped`, `shadowed`. */
export async function doorbells(target: Target): Promise<Record<string, number>> {
  const { poll_groups } = await target.rpc('nvmf_get_stats');
  const all: Json[] = poll_groups.flatMap((group: Json) => group.transports);
  const sum = (name: string): number => all.reduce((total, one) => total + (one[name] ?? 0), 0);
  return Object.fromEntries(['trapped', 'mapped', 'shadowed'].map((how) => [how, sum(`doorbells_${how}`)]));
}

/** QEMU's arguments for the disk of a vhost controller; it connects again when the target comes back. */
export const virtioDisk = (target: Target, name: string, options = 'num-queues=2'): string =>
  `-chardev socket,id=${name},path=${target.folder}/${name},reconnect-ms=200 ` +
  `-device vhost-user-blk-pci,chardev=${name},${options}`;

/** For scripts: `disk BDEV` prints the virtio disk of a bdev, whose name is the serial number. */
export const findDisk = `
  disk() { local b; for b in /sys/block/vd*; do [ "$(<$b/serial)" != "$1" ] || { echo /dev/\${b##*/}; return; }; done; return 1; }`;
