/** Where a request is on its way through its transport: memory-based ones know FREE and EXECUTING only ({@link NvmfRequest.state}). */
export const RequestState = {
  FREE: 0,
  /** Its in-capsule data is arriving. */
  RECEIVING_CAPSULE: 1,
  /** Waits for a buffer: in-capsule data, data to be asked for by R2T, data of a read that gets a digest. */
  NEED_CAPSULE_BUFFER: 2,
  NEED_R2T_BUFFER: 3,
  NEED_READ_BUFFER: 4,
  /** R2T sent: H2CData is due. */
  AWAITING_DATA: 5,
  /** The controller has it. */
  EXECUTING: 6,
  /** Answered; its memory is in use until the answer has left. */
  SENDING: 7,
} as const;
