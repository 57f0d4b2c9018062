import type { BufferPool } from '@spdk-ts/env';
import { genericStatus, sglId, status, statusType } from '@spdk-ts/nvme-spec';
import { type NvmfRequest, Transfer } from '../request.ts';

/** Byte of the submission queue entry that tells the type of its SGL descriptor; dwords of its address and length. */
const SGL_IDENTIFIER = 39;
const SGL_ADDRESS_LO = 6;
const SGL_ADDRESS_HI = 7;
const SGL_LENGTH = 8;

const wrong = (sc: number): number => status(statusType.generic, sc, true);
const BIDIRECTIONAL = wrong(genericStatus.invalidOpcode);
const TYPE_INVALID = wrong(genericStatus.sglDescriptorTypeInvalid);
const TOO_LARGE = wrong(genericStatus.invalidField);
const LENGTH_INVALID = wrong(genericStatus.dataSglLengthInvalid);
const OFFSET_INVALID = wrong(genericStatus.sglOffsetInvalid);

/** True if the command says that its data came in its capsule. */
export function isInCapsule(request: NvmfRequest): boolean {
  return request.sqe[SGL_IDENTIFIER] === sglId.inCapsule;
}

/**
 * Takes the length of a classified command's data from its SGL descriptor (TCP Transport 1.0, 3.3: a data block
 * at offset 0 of the capsule, or a transport data block). Returns the status that the command fails with, or 0.
 *
 * `capsuleBytes` came in the capsule, of which `capsuleMax` are allowed; `ioMax` limits any transfer.
 */
export function loadCommandData(
  request: NvmfRequest,
  capsuleBytes: number,
  capsuleMax: number,
  ioMax: number,
): number {
  const transfer = request.transfer;
  if (transfer === Transfer.NONE) return 0;
  if (transfer === Transfer.BIDIRECTIONAL) return BIDIRECTIONAL;
  const sqe32 = request.sqe32;
  const length = sqe32[SGL_LENGTH]!;
  const identifier = request.sqe[SGL_IDENTIFIER]!;
  if (identifier === sglId.transportDataBlock) {
    // Beyond MDTS (Base 2.0, 5.17.2.1).
    if (length > ioMax) return TOO_LARGE;
  } else if (identifier === sglId.inCapsule && transfer === Transfer.HOST_TO_CONTROLLER) {
    if (sqe32[SGL_ADDRESS_LO] !== 0 || sqe32[SGL_ADDRESS_HI] !== 0) return OFFSET_INVALID;
    if (length !== capsuleBytes || length > capsuleMax) return LENGTH_INVALID;
  } else return TYPE_INVALID;
  request.length = length;
  return 0;
}

/**
 * How large a buffer to ask for, for `length` bytes that the host will be asked for. It is held until they have
 * come, and they may lie behind a capsule that waits for a small buffer: so not all small ones are given away here.
 */
export function r2tBufferBytes(buffers: BufferPool, length: number): number {
  const { small_bytes, small_count } = buffers.options;
  return length <= small_bytes && buffers.smallFree * 2 < small_count ? small_bytes + 1 : length;
}
