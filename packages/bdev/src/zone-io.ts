import { ZoneState, type ZoneTable, ZoneType } from '@spdk-ts/zones';
import type { BdevIo } from './bdev-io.ts';

/** For modules: ends an I/O with a status of a ZoneTable: 0, or one that is command specific. */
export function completeZoneIo(io: BdevIo, status: number): void {
  io.completeNvme(status === 0 ? 0 : 1, status);
}

/** For modules: fills the report of a GET_ZONE_INFO. */
export function reportZones(table: ZoneTable, io: BdevIo): void {
  const report = io.zones!;
  const { zone_capacity } = table.geometry;
  const first = table.zoneOf(io.offset_blocks);
  const end = table.zoneOf(io.offset_blocks + io.num_blocks);
  report.clear();
  for (let zone = first; zone < end; zone++) {
    const state = table.state(zone);
    if (!report.push(table.startOf(zone), table.writePointer(zone), zone_capacity, state, ZoneType.SEQWR))
      return;
  }
}

/** For modules: true if a range touches a zone that is offline, and so cannot be read. */
export function touchesOffline(table: ZoneTable, io: BdevIo): boolean {
  if (table.offline_zones === 0) return false;
  const last = table.zoneOf(io.offset_blocks + io.num_blocks - 1);
  for (let zone = table.zoneOf(io.offset_blocks); zone <= last; zone++)
    if (table.state(zone) === ZoneState.OFFLINE) return true;
  return false;
}
