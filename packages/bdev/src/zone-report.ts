/** A zone as {@link ZoneReport} tells of it: places are blocks of the device. */
export interface ZoneInfo {
  /** Its first block. */
  readonly zone_id: number;
  /** The block that is written next; of a full zone, the end of its capacity. */
  readonly write_pointer: number;
  /** Blocks that can be written. */
  readonly capacity: number;
  /** ZoneState and ZoneType. */
  readonly state: number;
  readonly type: number;
}

/** Where GET_ZONE_INFO puts what it finds: room for so many zones, to be used again and again. */
export class ZoneReport {
  readonly capacity: number;
  /** Zones that it holds. */
  count = 0;
  readonly zone_id: Float64Array;
  readonly write_pointer: Float64Array;
  readonly zone_capacity: Float64Array;
  readonly state: Uint8Array;
  readonly type: Uint8Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.zone_id = new Float64Array(capacity);
    this.write_pointer = new Float64Array(capacity);
    this.zone_capacity = new Float64Array(capacity);
    this.state = new Uint8Array(capacity);
    this.type = new Uint8Array(capacity);
  }

  clear(): void {
    this.count = 0;
  }

  /** Adds a zone. False if there is no room. */
  push(zone_id: number, write_pointer: number, zone_capacity: number, state: number, type: number): boolean {
    if (this.count === this.capacity) return false;
    const at = this.count++;
    this.zone_id[at] = zone_id;
    this.write_pointer[at] = write_pointer;
    this.zone_capacity[at] = zone_capacity;
    this.state[at] = state;
    this.type[at] = type;
    return true;
  }

  /** For stacked bdevs: the zones are so many blocks nearer to the start of the device above. */
  shift(blocks: number): void {
    for (let at = 0; at < this.count; at++) {
      this.zone_id[at] = this.zone_id[at]! - blocks;
      this.write_pointer[at] = this.write_pointer[at]! - blocks;
    }
  }

  get(at: number): ZoneInfo {
    return {
      zone_id: this.zone_id[at]!,
      write_pointer: this.write_pointer[at]!,
      capacity: this.zone_capacity[at]!,
      state: this.state[at]!,
      type: this.type[at]!,
    };
  }
}
