/** Bounds of the protocol, as SPDK has them, and of what SPDK leaves unbounded. */
export const limits = {
  connections: 64,
  /** Connections beyond that which wait for a place, as in a listen backlog. */
  waitingConnections: 512,
  /** Bytes of one request or batch; also of what may wait unparsed. */
  requestBytes: 256 * 1024,
  /** JSON values in one request: every key, scalar, and both ends of every object and array count. */
  requestValues: 8192,
  requestDepth: 64,
  /** Bytes of one answer. */
  responseBytes: 32 * 1024 * 1024,
  /** Bytes that may wait for a client that does not read; then it is dropped. */
  outputBytes: 256 * 1024 * 1024,
  /** Requests of one connection that may be in work before more are read. */
  outstanding: 128,
  idCharacters: 128,
} as const;
