import { type BdevIo, IoStatus, IoType } from '@spdk-ts/bdev';

const GENERIC = 0;
const CAPACITY_EXCEEDED = 0x81;
const WRITE_PROTECTED = 0x20;
const MEDIA = 2;
const WRITE_FAULT = 0x80;
const UNRECOVERED_READ_ERROR = 0x81;

const inByte = (value: unknown, max: number): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;

/**
 * Ends an I/O for which a script threw something. Returns false if that says nothing about what is wrong with the I/O,
 * so that it is likely to be a mistake in the script.
 */
export function endFailed(io: BdevIo, thrown: unknown): boolean {
  const { sct, sc, code } = (thrown ?? {}) as { sct?: unknown; sc?: unknown; code?: unknown };
  if (inByte(sct, 7) && inByte(sc, 255) && sct + sc > 0) {
    io.completeNvme(sct, sc);
    return true;
  }
  switch (code) {
    case 'ENOMEM':
    case 'EAGAIN':
      io.complete(IoStatus.NOMEM);
      return true;
    case 'ECANCELED':
      io.complete(IoStatus.ABORTED);
      return true;
    case 'ENOSPC':
    case 'EDQUOT':
      io.completeNvme(GENERIC, CAPACITY_EXCEEDED);
      return true;
    case 'EROFS':
      io.completeNvme(GENERIC, WRITE_PROTECTED);
      return true;
    case 'EIO':
      io.completeNvme(MEDIA, io.type === IoType.READ ? UNRECOVERED_READ_ERROR : WRITE_FAULT);
      return true;
    default:
      io.complete(IoStatus.FAILED);
      return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code);
  }
}
