import type { DiscoveryPart, DiscoveryQuestion } from '../snapshot.ts';
import type { DiscoveryView } from './discovery.ts';

/** Pages that are kept while hosts may still read parts of them, and the bytes of them all. */
const PAGES_MAX = 64;
const BYTES_MAX = 16 << 20;

function keyOf({ hostnqn, address, lsp }: DiscoveryView, genctr: number): string {
  return JSON.stringify([
    genctr,
    hostnqn,
    address.trtype,
    address.adrfam,
    address.traddr,
    address.trsvcid,
    lsp,
  ]);
}

/**
 * Discovery log pages that hosts read in parts: whoever has read the beginning of a page gets the rest of the same one,
 * also when there is a newer one by then. The least recently read are forgotten first; of those, later parts come from
 * the page as it is now, and the host sees by the generation counter that it must begin anew (Base 2.0, 5.16.1.23).
 */
export class DiscoveryPages {
  private readonly pages = new Map<string, Uint8Array>();
  private bytes = 0;

  /** A part of a page, which `make` makes if it is the present one, of generation `genctr`. */
  read(question: DiscoveryQuestion, genctr: number, make: () => Uint8Array): DiscoveryPart {
    const { offset, length } = question;
    const wanted = offset > 0 && question.genctr >= 0 ? question.genctr : genctr;
    let page = this.take(keyOf(question, wanted));
    let generation = wanted;
    if (page === undefined) {
      generation = genctr;
      page = this.take(keyOf(question, genctr)) ?? make();
    }
    this.keep(keyOf(question, generation), page);
    return {
      ...{ genctr: generation, current: generation === genctr, total: page.length },
      bytes: page.slice(offset, offset + length),
    };
  }

  /** Takes a page out, so that it can be put back as the newest. */
  private take(key: string): Uint8Array | undefined {
    const page = this.pages.get(key);
    if (page === undefined) return undefined;
    this.pages.delete(key);
    this.bytes -= page.length;
    return page;
  }

  private keep(key: string, page: Uint8Array): void {
    this.pages.set(key, page);
    this.bytes += page.length;
    for (const oldest of this.pages.keys()) {
      if (this.pages.size <= PAGES_MAX && this.bytes <= BYTES_MAX) return;
      this.take(oldest);
    }
  }
}
