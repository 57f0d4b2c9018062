import type { Native } from '@spdk-ts/native';

const REGISTER_FILES = 2;
const REGISTER_FILES_UPDATE = 6;
const EMPTY = -1;
/** Places of the table. */
const FILES = 256;

/**
 * A ring's table of registered files. The kernel takes a reference once, not at each entry, which is worth a few
 * tens of nanoseconds an I/O; and a file stays open there until it is taken out.
 */
export class UringFiles {
  private readonly native: Native;
  private readonly ring: number;
  private readonly free: number[] = [];
  /** Not known before the first file: most rings have sockets only. */
  private state: 'unused' | 'usable' | 'refused' = 'unused';
  /** struct io_uring_files_update: place, reserved, address of one descriptor. */
  private readonly update = new Uint32Array(new ArrayBuffer(16));
  private readonly descriptor = new Int32Array(new ArrayBuffer(4));

  constructor(native: Native, ring: number) {
    this.native = native;
    this.ring = ring;
  }

  private open(): void {
    const empty = new Int32Array(FILES).fill(EMPTY);
    const status = this.native.ringRegister(this.ring, REGISTER_FILES, empty, FILES);
    this.state = status < 0 ? 'refused' : 'usable';
    for (let i = FILES - 1; i >= 0 && status >= 0; i--) this.free.push(i);
  }

  private set(place: number, fd: number): boolean {
    this.descriptor[0] = fd;
    const address = this.native.addressOf(this.descriptor);
    this.update[0] = place;
    this.update[2] = address;
    this.update[3] = address / 0x1_0000_0000;
    return this.native.ringRegister(this.ring, REGISTER_FILES_UPDATE, this.update, 1) >= 0;
  }

  /** Registers a file: its place, or -1 if that is not possible; the descriptor serves as well. */
  add(fd: number): number {
    if (this.state === 'unused') this.open();
    const place = this.free.pop();
    if (place === undefined) return -1;
    if (this.set(place, fd)) return place;
    this.free.push(place);
    return -1;
  }

  /** Lets go of a file: what is under way on it ends as it would. */
  remove(place: number): void {
    this.set(place, EMPTY);
    this.free.push(place);
  }
}
