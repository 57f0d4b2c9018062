/** Numbers of the vhost-user protocol (QEMU, docs/interop/vhost-user.rst). */

/** Messages of the front-end (QEMU) to us. */
export const Request = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  GET_INFLIGHT_FD: 31,
  SET_INFLIGHT_FD: 32,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
} as const;

/** Messages of ours to the front-end, over the socket that it sent with SET_BACKEND_REQ_FD. */
export const BackendRequest = { CONFIG_CHANGE_MSG: 2 } as const;

/** Bits of the protocol features. */
export const ProtocolFeature = {
  MQ: 0,
  REPLY_ACK: 3,
  BACKEND_REQ: 5,
  CONFIG: 9,
  INFLIGHT_SHMFD: 12,
  RESET_DEVICE: 13,
  CONFIGURE_MEM_SLOTS: 15,
} as const;

/** Those that we have. They fit a 32-bit number. */
export const PROTOCOL_FEATURES = Object.values(ProtocolFeature).reduce(
  (mask: number, bit) => mask | (1 << bit),
  0,
);

/** Fields of a header: three words. */
export const HEADER_BYTES = 12;
export const VERSION = 1;
export const Flag = { VERSION_MASK: 3, REPLY: 4, NEED_REPLY: 8 } as const;

/** In SET_VRING_KICK, CALL and ERR: the ring, and whether there is no descriptor. */
export const VRING_INDEX_MASK = 0xff;
export const VRING_NO_FD = 0x100;

/** Regions of a SET_MEM_TABLE. */
export const TABLE_REGIONS_MAX = 8;
/** Regions that a front-end may add one by one. */
export const MEM_SLOTS = 256;
/** Bytes of a GET_CONFIG or SET_CONFIG. */
export const CONFIG_BYTES_MAX = 256;
/** The longest payload that any message has: SET_MEM_TABLE's 8 + 8 × 32, or a config's 12 + 256. */
export const PAYLOAD_BYTES_MAX = 512;

/** Rings of a controller, and entries of each. */
export const QUEUES_MAX = 256;
export const QUEUE_SIZE_MAX = 1024;
