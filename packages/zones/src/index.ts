/** The zones of a zoned block device: the state machine of the NVMe Zoned Namespace Command Set, shared by reactors. */
export { SharedLock } from './shared-lock.ts';
export { ZoneAction, type ZoneActionName, ZoneState, ZoneType, zoneStateNames } from './zone-state.ts';
export { BUSY, isSelected, isWritable, type ZoneGeometry, ZoneTable } from './zone-table.ts';
