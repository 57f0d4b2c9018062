/** Memory of a make-believe guest: a memory file, where a front-end puts rings and buffers. */
import { closeSync } from 'node:fs';
import { native } from '@spdk-ts/native';

/** Where the guest sees its memory, and where the front-end does. */
export const GUEST_BASE = 0x10_0000;
export const USER_BASE = 0x7f00_0000_0000;

export class GuestRam {
  readonly fd: number;
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  private next = 0;

  constructor(size = 4 << 20) {
    this.size = size;
    this.fd = native!.memoryFile('guest-ram', size);
    const buffer = native!.mapDescriptor(this.fd, 0, size, 1);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** The offset of so many bytes that nobody else has. */
  allocate(bytes: number, alignment = 16): number {
    const at = Math.ceil(this.next / alignment) * alignment;
    this.next = at + bytes;
    if (this.next > this.size) throw new Error('the guest has no more memory');
    return at;
  }

  /** All but what lies below is free again. */
  release(to: number): void {
    this.next = to;
  }
  get mark(): number {
    return this.next;
  }

  address(offset: number): number {
    return GUEST_BASE + offset;
  }
  userAddress(offset: number): number {
    return USER_BASE + offset;
  }

  setU64(offset: number, value: number): void {
    this.view.setBigUint64(offset, BigInt(value), true);
  }

  close(): void {
    closeSync(this.fd);
  }
}
