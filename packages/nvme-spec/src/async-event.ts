/**
 * Asynchronous events (Base 2.0, 5.2): dword 0 of the completion of an Asynchronous Event Request.
 *
 *     23:16  log page that has the details     15:8  event information     2:0  event type
 */

/** Asynchronous Event Type. */
export const eventType = {
  error: 0,
  smart: 1,
  notice: 2,
  immediate: 3,
  oneShot: 4,
  ioCommandSet: 6,
  vendor: 7,
} as const;

/** Information of `error` events. */
export const errorEvent = {
  invalidDoorbellRegister: 0x00,
  invalidDoorbellValue: 0x01,
  diagnosticFailure: 0x02,
  persistentInternalError: 0x03,
  transientInternalError: 0x04,
  firmwareImageLoadError: 0x05,
} as const;

/** Information of `smart` events. */
export const smartEvent = { reliability: 0x00, temperature: 0x01, spare: 0x02 } as const;

/** Information of `notice` events. */
export const noticeEvent = {
  namespaceAttributeChanged: 0x00,
  firmwareActivationStarting: 0x01,
  telemetryLogChanged: 0x02,
  anaChange: 0x03,
  predictableLatency: 0x04,
  lbaStatusAlert: 0x05,
  enduranceGroup: 0x06,
  zoneDescriptorChanged: 0xef,
  discoveryLogChange: 0xf0,
} as const;

/** Information of `immediate` events. */
export const immediateEvent = { normalShutdown: 0x00 } as const;

/** Information of `ioCommandSet` events. */
export const ioCommandSetEvent = { reservationLogAvailable: 0x00, sanitizeCompleted: 0x01 } as const;

export interface AsyncEvent {
  /** One of `eventType`. */
  type: number;
  /** Depends on the type. */
  info: number;
  /** Log page to read, which also clears the event. */
  lid: number;
}

export function encodeAsyncEvent({ type, info, lid }: AsyncEvent): number {
  return type | (info << 8) | (lid << 16);
}

export function decodeAsyncEvent(dw0: number): AsyncEvent {
  return { type: dw0 & 0x7, info: (dw0 >>> 8) & 0xff, lid: (dw0 >>> 16) & 0xff };
}
