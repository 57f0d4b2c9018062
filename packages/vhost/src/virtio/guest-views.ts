import type { RegionTable } from '@spdk-ts/env';

const none = new DataView(new ArrayBuffer(0));

/** A thread's regions of memory as DataViews, made when they are first used: for what lies at any address. */
export class RegionViews {
  private readonly regions: RegionTable;
  private readonly views: DataView[] = [];

  constructor(regions: RegionTable) {
    this.regions = regions;
    // Its id may be another's next.
    regions.onRemove((id) => {
      if (id < this.views.length) this.views[id] = none;
    });
  }

  /** The region's bytes. A place in it must have been found there before. */
  view(id: number): DataView {
    if (id < this.views.length) {
      const known = this.views[id]!;
      if (known !== none) return known;
    }
    return this.make(id);
  }

  private make(id: number): DataView {
    const bytes = this.regions.bytes(id);
    const made = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    while (this.views.length <= id) this.views.push(none);
    this.views[id] = made;
    return made;
  }
}

const made = new WeakMap<RegionTable, RegionViews>();

/** The views of a thread's regions: one for all who need them. */
export function viewsOf(regions: RegionTable): RegionViews {
  const known = made.get(regions);
  if (known !== undefined) return known;
  const views = new RegionViews(regions);
  made.set(regions, views);
  return views;
}
