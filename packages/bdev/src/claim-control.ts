/** Kinds of claims on a bdev, as `claim_type` names them. */
export type ClaimType =
  | 'not_claimed'
  | 'exclusive_write'
  | 'read_many_write_one'
  | 'read_many_write_none'
  | 'read_many_write_shared';

export interface ClaimOptions {
  /** Name of the claiming module. */
  readonly module: string;
  /** `read_many_write_shared` only: claims with the same key (not 0) tolerate each other. */
  readonly key?: number;
}

/** Someone who has opened the bdev. */
export interface ClaimHolder {
  write: boolean;
}

/** What is claimed of one bdev. A refusal is a text that says why; null: granted. */
export class Claims {
  type: ClaimType = 'not_claimed';
  private readonly holders = new Map<ClaimHolder, string>();
  private key = 0;

  get claimed(): boolean {
    return this.type !== 'not_claimed';
  }

  /** Names of the modules that hold claims. */
  get modules(): readonly string[] {
    return [...new Set(this.holders.values())];
  }

  claim(
    holder: ClaimHolder,
    type: ClaimType,
    options: ClaimOptions,
    opened: Iterable<ClaimHolder>,
  ): string | null {
    const refused = this.refusal(holder, type, options.key ?? 0, opened);
    if (refused !== null) return refused;
    this.type = type;
    this.key = options.key ?? 0;
    this.holders.set(holder, options.module);
    // A claim that allows writing makes its descriptor a writing one.
    if (type !== 'read_many_write_none') holder.write = true;
    return null;
  }

  private refusal(
    holder: ClaimHolder,
    type: ClaimType,
    key: number,
    opened: Iterable<ClaimHolder>,
  ): string | null {
    if (type === 'not_claimed') return 'claim type not_claimed claims nothing';
    if (this.holders.has(holder)) return 'this descriptor holds a claim already';
    const shared = type === 'read_many_write_shared';
    if (shared && key === 0) return 'a read_many_write_shared claim needs a key other than 0';
    if (!shared && key !== 0) return `a ${type} claim takes no key`;
    if (type === 'read_many_write_none' && holder.write)
      return 'a read_many_write_none claim needs a descriptor that was opened for reading';
    const joins = this.type === type && (type === 'read_many_write_none' || (shared && this.key === key));
    if (joins) return null;
    if (this.claimed) return `it is claimed (${this.type}) by ${this.modules.join(', ')}`;
    // A v1 claim trusts that its module knows who else writes.
    if (type !== 'exclusive_write')
      for (const other of opened) if (other !== holder && other.write) return 'it is open for writing';
    return null;
  }

  /** Gives up what a holder claimed. */
  release(holder: ClaimHolder): void {
    if (!this.holders.delete(holder) || this.holders.size > 0) return;
    this.type = 'not_claimed';
    this.key = 0;
  }
}
