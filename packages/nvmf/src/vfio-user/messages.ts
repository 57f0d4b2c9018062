/**
 * Ring messages between a session, on the reactor of its admin queue, and its parts (96 … 111 are this transport's).
 * The first argument is the session. What goes to a part has a token second, which its answer brings back.
 */
export const VfioUserMessage = {
  /** Descriptors of the session's memory and of BAR0. */
  ATTACH: 96,
  /** Address, bytes, descriptor, offset, writable. */
  MAP: 97,
  /** Address, bytes. Answered when nothing uses it any more. */
  UNMAP: 98,
  /** Queue id, address, entries, vector or -1. */
  CREATE_CQ: 99,
  /** Queue id, address, entries, completion queue. */
  CREATE_SQ: 100,
  DELETE_CQ: 101,
  /** Answered at once; {@link QUEUE_GONE} follows. */
  DELETE_SQ: 102,
  /** Addresses of shadow doorbells and event indices. */
  SHADOW: 103,
  RESET: 104,
  STOP: 105,
  DETACH: 106,
  SYNC: 107,
  /** No token: a doorbell was written. */
  KICK: 108,
  /** To the session: token, status. */
  ANSWER: 109,
  /** To the session: queue id. */
  QUEUE_GONE: 110,
  /** To the session: reason. */
  FATAL: 111,
} as const;
