/** States of a zone (Zoned Namespace Command Set 1.1, 2.1.1.3), with the numbers that SPDK gives them. */
export const ZoneState = {
  EMPTY: 0,
  IMPLICIT_OPEN: 1,
  FULL: 2,
  CLOSED: 3,
  READ_ONLY: 4,
  OFFLINE: 5,
  EXPLICIT_OPEN: 6,
  NOT_WP: 7,
} as const;

/** By number. */
export const zoneStateNames = [
  'empty',
  'implicit_open',
  'full',
  'closed',
  'read_only',
  'offline',
  'explicit_open',
  'not_wp',
] as const;

/** Conventional; sequential write required; sequential write preferred: SPDK's numbers. */
export const ZoneType = { CONVENTIONAL: 1, SEQWR: 2, SEQWP: 3 } as const;

/** What zone management does, with SPDK's numbers. */
export const ZoneAction = { CLOSE: 0, FINISH: 1, OPEN: 2, RESET: 3, OFFLINE: 4 } as const;
export type ZoneActionName = Lowercase<keyof typeof ZoneAction>;
