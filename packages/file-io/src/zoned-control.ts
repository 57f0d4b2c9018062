import { BdevError, type BdevSpec, Errno, IoType, ioTypeMask } from '@spdk-ts/bdev';
import { native } from '@spdk-ts/native';
import { ZoneType } from '@spdk-ts/zones';
import { type FileZones, KernelZoneReport, unknownPointers } from './kernel-zones.ts';
import type { OpenedFile } from './node-open-file.ts';
import { ZoneOrder } from './zone-order.ts';

const TYPES = ioTypeMask(
  ...[IoType.READ, IoType.WRITE, IoType.FLUSH, IoType.RESET, IoType.ABORT],
  ...[IoType.GET_ZONE_INFO, IoType.ZONE_MANAGEMENT, IoType.ZONE_APPEND],
);

/** Zones of a device, for its context; what they mean for its module's spec. */
export interface ZonedFile {
  readonly zones: FileZones;
  readonly spec: Partial<BdevSpec> & { readonly io_types: number };
}

/** Looks at every zone. Returns their size. */
function checkZones(report: KernelZoneReport, { filename, block_size, bytes }: OpenedFile): number {
  const num_blocks = bytes / block_size;
  let zone_size = 0;
  for (let done = 0; done < num_blocks; ) {
    const status = report.read(done);
    if (status <= 0)
      throw new BdevError(
        status < 0 ? status : Errno.EIO,
        `the zones of ${filename} cannot be reported (errno ${-status}); look at the kernel's log`,
      );
    zone_size ||= report.length(0);
    for (let zone = 0; zone < report.count; zone++) {
      if (report.type(zone) === ZoneType.CONVENTIONAL)
        throw new BdevError(
          Errno.ENOTSUP,
          `${filename} has conventional zones, which zoned bdevs have not; give a device without them`,
        );
      if (report.length(zone) !== zone_size)
        throw new BdevError(
          Errno.ENOTSUP,
          `${filename} has zones of ${zone_size} and of ${report.length(zone)} blocks: those of a bdev have one size`,
        );
      done += zone_size;
    }
  }
  return zone_size;
}

/** The zones of a zoned block device. Throws BdevError with the reason if it cannot be a zoned bdev. */
export function zonesOfFile(file: OpenedFile, zoned: boolean): ZonedFile | null {
  const { device, filename, block_size, bytes, fd } = file;
  if (device === null || !device.zoned) return null;
  if (!zoned)
    throw new BdevError(
      Errno.ENOTSUP,
      `${filename} is a zoned block device, whose zones this module does not know; use bdev_uring_create`,
    );
  if (!file.direct)
    throw new BdevError(
      Errno.ENOTSUP,
      `${filename} is a zoned block device, which takes direct I/O only: ${file.notDirect}`,
    );
  const report = new KernelZoneReport(native!, fd, block_size, 1024);
  const num_blocks = bytes / block_size;
  const zone_size = checkZones(report, file);
  const num_zones = num_blocks / zone_size;
  return {
    zones: {
      ...{ zone_size, num_zones, gates: ZoneOrder.allocate(num_zones) },
      pointers: unknownPointers(num_zones),
    },
    spec: {
      ...{ io_types: TYPES, zoned: true, zone_size, max_zone_append_size: zone_size },
      ...{ max_open_zones: device.max_open_zones, max_active_zones: device.max_active_zones },
    },
  };
}
