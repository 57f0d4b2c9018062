import { native } from '@spdk-ts/native';
import { crc32c } from '@spdk-ts/nvme-spec';
import { crc16T10dif } from './crc16-t10dif.ts';
import { crc64Nvme } from './crc64-nvme.ts';
import { DifFormat } from './format.ts';

/** Below this JavaScript is faster than the addon's call, bytes. */
const NATIVE_BYTES = 64;

/** A guard under computation, of one format: by the addon where it is there. */
export class Guard {
  private readonly format: number;
  /** Lower half, upper half. */
  private readonly crc = new Uint32Array(2);

  constructor(format: number) {
    this.format = format;
  }

  start(): void {
    this.crc[0] = 0;
    this.crc[1] = 0;
  }

  update(bytes: Uint8Array, start: number, end: number): void {
    const crc = this.crc;
    if (native !== null && end - start >= NATIVE_BYTES) {
      if (this.format === DifFormat.GUARD_16) crc[0] = native.crc16T10dif(bytes, start, end, crc[0]!);
      else if (this.format === DifFormat.GUARD_32) crc[0] = native.crc32c(bytes, start, end, crc[0]!);
      else native.crc64Nvme(crc, bytes, start, end);
    } else if (this.format === DifFormat.GUARD_16) crc[0] = crc16T10dif(bytes, start, end, crc[0]!);
    else if (this.format === DifFormat.GUARD_32) crc[0] = crc32c(bytes, start, end, crc[0]!);
    else crc64Nvme(crc, bytes, start, end);
  }

  get low(): number {
    return this.crc[0]!;
  }
  get high(): number {
    return this.crc[1]!;
  }
}
