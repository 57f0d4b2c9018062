import { type BdevIo, IoStatus, piecesOfIo, sendsData } from '@spdk-ts/bdev';
import { Pieces } from '@spdk-ts/dif';
import type { RegionTable } from '@spdk-ts/env';
import type { CommandData, CommandFields, Completion, NvmeRequest } from '@spdk-ts/nvme';
import { dataTransfer, NSID_ALL, nvmOpcode, psdt, statusSc, statusSct } from '@spdk-ts/nvme-spec';
import type { Reactor } from '@spdk-ts/reactor';
import type { NvmeContext } from './context.ts';

const OPCODE = 0xff;
/** First dwords of the pointers, which are the queue pair's, and of what comes after them. */
const MPTR = 4;
const CDW10 = 10;

/** Makes a request of an I/O's own command. Data that a controller returns may be fewer than there is room for; of a Read they may not. */
export function beginPassthru(request: NvmeRequest, io: BdevIo, nsid: number): void {
  const command = io.command!;
  const opcode = command[0]! & OPCODE;
  request.begin(opcode, nsid);
  request.sqe.set(command);
  request.sqe[0] = opcode | (psdt.sgl << 14);
  request.sqe[1] = nsid;
  request.sqe.fill(0, MPTR, CDW10);
  const bytes = io.bytes;
  if (bytes === 0) return;
  const sends = sendsData(command);
  request.place(
    sends ? dataTransfer.hostToController : dataTransfer.controllerToHost,
    io.region,
    io.offset,
    bytes,
  );
  request.iovs = io.iovs;
  request.may_be_short = !sends && opcode !== nvmOpcode.read;
}

/** The fields of an Admin command that are its sender's. What is at a namespace is at the bdev's own, whichever number that has. */
function fieldsOf(command: Uint32Array, own: number): CommandFields {
  const dword = (index: number): number => command[index]!;
  const nsid = dword(1) === 0 || dword(1) === NSID_ALL ? dword(1) : own;
  return {
    ...{ opcode: dword(0) & OPCODE, nsid, cdw2: dword(2), cdw3: dword(3) },
    ...{ cdw10: dword(10), cdw11: dword(11), cdw12: dword(12) },
    ...{ cdw13: dword(13), cdw14: dword(14), cdw15: dword(15) },
  };
}

function placeOf(regions: RegionTable, io: BdevIo, bytes: number): Pieces {
  const pieces = new Pieces();
  piecesOfIo(pieces, regions, io, 0, bytes);
  return pieces;
}

function dataOf({ regions }: Reactor, io: BdevIo): CommandData {
  const { bytes } = io;
  if (bytes === 0) return {};
  if (!sendsData(io.command!)) return { in: bytes, may_be_short: true };
  const out = new Uint8Array(bytes);
  new Pieces().push(out, 0, bytes).copy(0, placeOf(regions, io, bytes), 0, bytes);
  return { out };
}

/** Has the reactor of one of a bdev's controllers send an Admin command. Ends the I/O: FAILED, if no path is connected. */
export async function adminPassthru(
  reactor: Reactor,
  { bdev, nsid }: NvmeContext,
  io: BdevIo,
): Promise<void> {
  const which = { bdev, fields: fieldsOf(io.command!, nsid), data: dataOf(reactor, io) };
  try {
    const { status, dw0, data } = (await reactor.control.call('bdev_nvme', 'admin', which)) as Completion;
    io.cdw0 = dw0;
    const { length } = data;
    if (length > 0)
      placeOf(reactor.regions, io, length).copy(0, new Pieces().push(data, 0, length), 0, length);
    io.completeNvme(statusSct(status), statusSc(status));
  } catch {
    io.complete(IoStatus.FAILED);
  }
}
