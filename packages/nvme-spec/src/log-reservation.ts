/**
 * Reservation Notification log page (80h; Base 2.0, 5.16.1.24): one notification at a time.
 */
import { type StructValue, struct, u8, u32, u64 } from './struct.ts';

export const reservationLog = struct(64, {
  lpc: u64(0), // log page count; 0: empty page
  type: u8(8), // `reservationNotification`
  nalp: u8(9), // number of further notifications available, 255 for more
  nsid: u32(12),
});
export type ReservationLog = StructValue<typeof reservationLog>;

/** Reservation Notification Log Page Type. */
export const reservationNotification = {
  empty: 0,
  registrationPreempted: 1,
  reservationReleased: 2,
  reservationPreempted: 3,
} as const;

/** Reservation Notification Mask (feature 82h): bits that keep a notification from being reported. */
export const reservationMask = {
  registrationPreempted: 0x2,
  reservationReleased: 0x4,
  reservationPreempted: 0x8,
} as const;
