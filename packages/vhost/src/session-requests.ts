import { native } from '@spdk-ts/native';
import {
  bitsPayload,
  configPayload,
  inflightPayload,
  type Message,
  numberPayload,
  readAddress,
  readBits,
  readConfig,
  readInflight,
  readMemoryRegion,
  readMemoryTable,
  readState,
  readWord,
  statePayload,
} from './protocol/codec.ts';
import {
  MEM_SLOTS,
  PROTOCOL_FEATURES,
  ProtocolFeature,
  QUEUES_MAX,
  Request,
  VRING_INDEX_MASK,
  VRING_NO_FD,
} from './protocol/constants.ts';
import { VhostUserError } from './protocol/errors.ts';
import type { Session } from './session.ts';
import { configSpace } from './virtio/blk-config.ts';
import { InflightArea } from './virtio/inflight.ts';

/*
 * What each message of a front-end asks of its session (vhost-user, "Front-end message types"). Each resolves to the answer's
 * payload, to ANSWERED if that was sent already, or to null if there is none but an acknowledgement; and rejects with an Error
 * that says what is wrong.
 */

type Answer = Uint8Array | null;
export const ANSWERED = new Uint8Array(0);

/** Carries a message out. */
export async function carryOut(session: Session, message: Message): Promise<Answer> {
  switch (message.request) {
    case Request.GET_FEATURES:
      return bitsPayload(session.owner.device.features);
    case Request.SET_FEATURES:
      session.setFeatures(readBits(message));
      return null;
    case Request.GET_PROTOCOL_FEATURES:
      return numberPayload(PROTOCOL_FEATURES);
    case Request.SET_PROTOCOL_FEATURES:
      session.setProtocolFeatures(readBits(message));
      return null;
    case Request.SET_OWNER:
    case Request.RESET_OWNER:
      return null;
    case Request.GET_QUEUE_NUM:
      return numberPayload(QUEUES_MAX);
    case Request.GET_CONFIG:
      return getConfig(session, message);
    case Request.SET_CONFIG:
      throw new VhostUserError('no field of this device can be written');
    case Request.SET_BACKEND_REQ_FD:
      need(session, 'BACKEND_REQ');
      session.setBackend(takeDescriptor(message));
      return null;
    case Request.RESET_DEVICE:
      need(session, 'RESET_DEVICE');
      await session.stopAll();
      return null;
    default:
      return await carryOutMemory(session, message);
  }
}

/** Messages about memory. */
async function carryOutMemory(session: Session, message: Message): Promise<Answer> {
  const { memory } = session;
  switch (message.request) {
    case Request.SET_MEM_TABLE: {
      const table = readMemoryTable(message);
      await session.changeMemory(() => memory.replace(table, message.descriptors));
      return null;
    }
    case Request.GET_MAX_MEM_SLOTS:
      need(session, 'CONFIGURE_MEM_SLOTS');
      return numberPayload(MEM_SLOTS);
    case Request.ADD_MEM_REG:
      need(session, 'CONFIGURE_MEM_SLOTS');
      memory.add(readMemoryRegion(message), onlyDescriptor(message));
      return null;
    case Request.REM_MEM_REG: {
      need(session, 'CONFIGURE_MEM_SLOTS');
      const region = readMemoryRegion(message);
      await session.changeMemory(() => memory.remove(region));
      return null;
    }
    case Request.GET_INFLIGHT_FD:
      getInflight(session, message);
      return ANSWERED;
    case Request.SET_INFLIGHT_FD:
      need(session, 'INFLIGHT_SHMFD');
      session.setInflight(new InflightArea(onlyDescriptor(message), readInflight(message), session.packed));
      return null;
    default:
      return await carryOutVring(session, message);
  }
}

/** Messages about rings. */
async function carryOutVring(session: Session, message: Message): Promise<Answer> {
  switch (message.request) {
    case Request.SET_VRING_NUM: {
      const { index, num } = readState(message);
      session.vring(index).setNum(num);
      return null;
    }
    case Request.SET_VRING_ADDR: {
      const address = readAddress(message);
      session.vring(address.index).setAddress(address);
      return null;
    }
    case Request.SET_VRING_BASE: {
      const { index, num } = readState(message);
      session.vring(index).setBase(num);
      return null;
    }
    case Request.GET_VRING_BASE: {
      const { index } = readState(message);
      return statePayload({ index, num: await session.stopVring(index) });
    }
    case Request.SET_VRING_ENABLE: {
      const { index, num } = readState(message);
      if (num > 1) throw new VhostUserError(`it says ${num}: 0 disables ring ${index}, and 1 enables it`);
      session.enableVring(index, num === 1);
      return null;
    }
    default:
      carryOutEvent(session, message);
      return null;
  }
}

/** Messages that bring the eventfd of a ring. */
function carryOutEvent(session: Session, message: Message): void {
  const { KICK, CALL, ERR } = events;
  if (message.request !== KICK && message.request !== CALL && message.request !== ERR)
    throw new VhostUserError('there is no such request here');
  const index = readWord(message) & VRING_INDEX_MASK;
  const vring = session.vring(index);
  const fd = takeEvent(message);
  if (message.request === CALL) vring.setCall(fd);
  else if (message.request === ERR) vring.setErr(fd);
  else {
    try {
      session.startVring(index, fd);
    } catch (error) {
      if (fd >= 0) native!.closeFd(fd);
      throw error;
    }
  }
}
const events = { KICK: Request.SET_VRING_KICK, CALL: Request.SET_VRING_CALL, ERR: Request.SET_VRING_ERR };

function need(session: Session, name: keyof typeof ProtocolFeature): void {
  if (!session.negotiated(ProtocolFeature[name])) throw new VhostUserError(`${name} was not negotiated`);
}

function getConfig(session: Session, message: Message): Uint8Array {
  const range = readConfig(message);
  const space = configSpace(session.owner.device.geometry, range.offset + range.size);
  return configPayload(range, space.subarray(range.offset));
}

/** Its answer has a descriptor, and is sent at once. */
function getInflight(session: Session, message: Message): void {
  need(session, 'INFLIGHT_SHMFD');
  const { fd, area } = InflightArea.create(readInflight(message), session.packed);
  try {
    session.setInflight(area);
    session.reply(message.request, inflightPayload(area.description, message.payload.length), fd);
  } finally {
    native!.closeFd(fd);
  }
}

/** The one descriptor that a message must bring: it stays the message's. */
function onlyDescriptor({ descriptors }: Message): number {
  if (descriptors.length !== 1)
    throw new VhostUserError(`it brings ${descriptors.length} descriptors: one is needed`);
  return descriptors[0]!;
}

/** The same, which is the caller's from now on. */
function takeDescriptor(message: Message): number {
  const fd = onlyDescriptor(message);
  message.descriptors.length = 0;
  return fd;
}

/** The eventfd of a message, which is the caller's from now on, or -1 if the message says that there is none. */
function takeEvent(message: Message): number {
  if ((readWord(message) & VRING_NO_FD) !== 0) {
    if (message.descriptors.length > 0)
      throw new VhostUserError('it brings a descriptor that it says is not there');
    return -1;
  }
  if (!native!.adoptEventFd(onlyDescriptor(message)))
    throw new VhostUserError('the descriptor is not that of an eventfd');
  return takeDescriptor(message);
}
