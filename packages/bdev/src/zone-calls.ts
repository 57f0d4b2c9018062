import type { BdevIoOwner } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { Errno } from './io-status.ts';
import { IoType } from './io-type.ts';
import type { IoVec } from './iovec.ts';
import type { ZoneReport } from './zone-report.ts';

/*
 * Zone I/O in one call, as the channel's own: 0, or a negative errno (as submit's; ENOMEM: no I/O object now) and then
 * there is no callback. EINVAL also for what is not the start of a zone. A zone is named by its first block.
 */

/** Tells of `num_zones` zones from `zone_id` on, as many as the report has room for. */
export function getZoneInfo(
  channel: BdevChannel,
  zone_id: number,
  num_zones: number,
  report: ZoneReport,
  owner: BdevIoOwner,
  index = 0,
): number {
  const { zone_size } = channel.device.description;
  const io = channel.prepare(IoType.GET_ZONE_INFO, zone_id, num_zones * zone_size, owner, index);
  if (io === null) return Errno.ENOMEM;
  report.clear();
  io.zones = report;
  return channel.launch(io);
}

/** A ZoneAction on one zone. */
export function zoneManagement(
  channel: BdevChannel,
  zone_id: number,
  action: number,
  owner: BdevIoOwner,
  index = 0,
): number {
  const { zone_size } = channel.device.description;
  const io = channel.prepare(IoType.ZONE_MANAGEMENT, zone_id, zone_size, owner, index);
  if (io === null) return Errno.ENOMEM;
  io.zone_action = action;
  io.zone_all = false;
  return channel.launch(io);
}

/** A ZoneAction on all zones that are in a state which it is for. */
export function zoneManagementAll(
  channel: BdevChannel,
  action: number,
  owner: BdevIoOwner,
  index = 0,
): number {
  const io = channel.prepare(IoType.ZONE_MANAGEMENT, 0, channel.num_blocks, owner, index);
  if (io === null) return Errno.ENOMEM;
  io.zone_action = action;
  io.zone_all = true;
  return channel.launch(io);
}

/** Appends to a zone: the I/O's `append_location` says to which block. */
export function zoneAppend(
  channel: BdevChannel,
  region: number,
  offset: number,
  zone_id: number,
  blocks: number,
  owner: BdevIoOwner,
  index = 0,
): number {
  const io = channel.prepare(IoType.ZONE_APPEND, zone_id, blocks, owner, index);
  if (io === null) return Errno.ENOMEM;
  io.region = region;
  io.offset = offset;
  io.length = blocks * channel.block_size;
  return channel.launch(io);
}
export function zoneAppendv(
  channel: BdevChannel,
  iovs: IoVec,
  zone_id: number,
  blocks: number,
  owner: BdevIoOwner,
  index = 0,
): number {
  const io = channel.prepare(IoType.ZONE_APPEND, zone_id, blocks, owner, index);
  if (io === null) return Errno.ENOMEM;
  io.iovs = iovs;
  return channel.launch(io);
}
