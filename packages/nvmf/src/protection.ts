import { type BdevChannel, type BdevDescription, difOf } from '@spdk-ts/bdev';
import { type Dif, DifCheck, DifFailure, DifFormat, type DifTags, DifType, Pieces } from '@spdk-ts/dif';
import type { BufferPool, BufferWaiter } from '@spdk-ts/env';
import type { CommandWork } from './command-series.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

const TWO_32 = 0x1_0000_0000;
/** Bits of dword 12. */
const PRACT = 0x2000_0000;
const PRCHK_SHIFT = 26;
const PRCHK = 0x7;

/** What a command says of protection information, taken apart: reused. */
export class ProtectionFields {
  /** It is inserted and stripped by the controller (PRACT). */
  acts = false;
  /** A set of DifCheck. */
  checks = 0;
  readonly tags: DifTags = { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
}

/**
 * Protection information of one namespace, whose blocks have it in their metadata (NVM Command Set 1.0, 5.2): what commands
 * say of it, and buffers for blocks that are put together or taken apart here.
 *
 * Who borrows a buffer holds one for its command's data already, or needs none. So that not all of them wait for each other,
 * one is kept for when the pool has none.
 */
export class Protection implements BufferWaiter {
  readonly description: BdevDescription;
  readonly dif: Dif;
  /** It is all of the metadata: where the controller acts, hosts transfer data only. */
  readonly is_all_metadata: boolean;
  /** Its format is one that hosts must have asked for (LBAFEE). */
  readonly is_extended: boolean;
  /** Blocks that fit in a buffer. */
  readonly piece_blocks: number;
  readonly fields = new ProtectionFields();
  /** For who puts blocks together: places, and what was wrong. */
  readonly stored = new Pieces();
  readonly plain = new Pieces();
  readonly failure = new DifFailure();

  private readonly buffers: BufferPool;
  private reserve: number;
  private reserved = false;
  private readonly line: CommandWork[] = [];
  private serving = false;
  private asked = false;

  constructor(channel: BdevChannel) {
    const { description } = channel.device;
    this.description = description;
    this.dif = difOf(description);
    const { layout } = this.dif;
    this.is_all_metadata = layout.md_size === layout.pi_bytes;
    this.is_extended = layout.format !== DifFormat.GUARD_16;
    this.buffers = channel.reactor.buffers;
    this.piece_blocks = Math.max(1, Math.floor(this.buffers.max_bytes / layout.block_size));
    this.reserve = this.buffers.get(this.buffers.max_bytes);
  }

  /** Gives the buffer back that is kept. Nothing may be borrowed. */
  close(): void {
    this.buffers.cancelWait(this);
    if (this.reserve >= 0) this.buffers.put(this.reserve);
    this.reserve = -1;
  }

  get region(): number {
    return this.buffers.region;
  }

  /**
   * Takes {@link fields} from a command at `slba`. Returns the status that it is to be refused with, or 0: types 1 and 3 say
   * what reference tags may be checked, and tags of 2^53 and more cannot be counted here.
   */
  parse(request: NvmfRequest, slba: number): number {
    const { fields } = this;
    const { layout } = this.dif;
    const cdw12 = request.cdw(12);
    const low = request.cdw(14);
    const high =
      layout.ref_bytes === 4 ? 0 : layout.ref_bytes === 6 ? request.cdw(3) & 0xffff : request.cdw(3);
    fields.acts = (cdw12 & PRACT) !== 0;
    fields.checks = (cdw12 >>> PRCHK_SHIFT) & PRCHK;
    fields.tags.ref_tag = low + high * TWO_32;
    fields.tags.app_tag = request.cdw(15) & 0xffff;
    fields.tags.app_tag_mask = request.cdw(15) >>> 16;
    if ((fields.checks & DifCheck.REFTAG) !== 0) {
      if (layout.type === DifType.TYPE_3) return Status.INVALID_PROTECTION_INFORMATION;
      if (layout.type === DifType.TYPE_1 && !isAddress(low, high, slba, layout.ref_bytes))
        return Status.INVALID_PROTECTION_INFORMATION;
    }
    return fields.tags.ref_tag > Number.MAX_SAFE_INTEGER ? Status.INVALID_FIELD : Status.SUCCESS;
  }

  /** A buffer of at least `bytes`, or -1: then `borrower` is told in its turn, and asks again. */
  take(bytes: number, borrower: CommandWork): number {
    const buffer = this.line.length > 0 && !this.serving ? -1 : this.find(bytes);
    if (buffer < 0) {
      this.line.push(borrower);
      this.ask();
    }
    return buffer;
  }

  private find(bytes: number): number {
    const buffer = this.buffers.get(bytes);
    if (buffer >= 0 || this.reserved) return buffer;
    if (this.reserve < 0) this.reserve = this.buffers.get(this.buffers.max_bytes);
    this.reserved = this.reserve >= 0;
    return this.reserve;
  }

  give(buffer: number): void {
    if (buffer !== this.reserve) this.buffers.put(buffer);
    else {
      this.reserved = false;
      this.serve();
    }
  }

  /** Waits no longer. */
  leave(borrower: CommandWork): void {
    const at = this.line.indexOf(borrower);
    if (at >= 0) this.line.splice(at, 1);
  }

  private ask(): void {
    if (this.asked || this.line.length === 0) return;
    this.asked = true;
    this.buffers.wait(this);
  }

  bufferAvailable(): void {
    this.asked = false;
    this.serve();
  }

  private serve(): void {
    if (this.serving) return;
    this.serving = true;
    for (let left = this.line.length; left > 0 && (!this.reserved || this.buffers.largeFree > 0); left--)
      this.line.shift()?.resume();
    this.serving = false;
    this.ask();
  }
}

/** True if a reference tag is a block's address, as far as there is room for it. */
function isAddress(low: number, high: number, slba: number, bytes: number): boolean {
  const above = Math.floor(slba / TWO_32);
  return low === slba % TWO_32 && high === (bytes === 4 ? 0 : bytes === 6 ? above & 0xffff : above);
}
