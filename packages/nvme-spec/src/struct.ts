/**
 * A specification figure as a table. The data structures of Identify, log pages and features are written once, as
 * rows of `name: kind(offset)` in the order of the figure, and both directions follow from the rows: an encoder
 * and a decoder cannot disagree. For control data only; what an I/O touches has accessors of its own.
 */
import { getUint64, setUint64, viewOf } from './bytes.ts';

/** One row: where a value lies, how it is read and written. `base` is the structure's offset in the view. */
export interface Field<T> {
  readonly offset: number;
  get(view: DataView, base: number): T;
  put(view: DataView, base: number, value: T): void;
}

type Rows = Record<string, Field<unknown>>;
type Offsets<T> = { readonly [K in keyof T]: number };
type Values<R> = { -readonly [K in keyof R]: R[K] extends Field<infer T> ? T : never };

/** A fixed-size structure of named fields. */
export interface Struct<T> {
  /** Bytes. */
  readonly size: number;
  /** Byte offset of each field, as in the figure. */
  readonly offsets: Offsets<T>;
  /** Reads the structure at `offset`. Throws RangeError if `bytes` is shorter than the structure. */
  decode(bytes: Uint8Array, offset?: number): T;
  /**
   * Writes all `size` bytes at `offset`; fields not given are zero. Throws RangeError, naming the field, if a
   * value does not fit.
   */
  encode(value: Partial<T>, out: Uint8Array, offset?: number): void;
}

/** The values a structure holds: `type IdentifyController = StructValue<typeof identifyController>`. */
export type StructValue<S> = S extends Struct<infer T> ? T : never;

/** Builds the codec of a structure of `size` bytes from its rows. */
export function struct<R extends Rows>(size: number, rows: R): Struct<Values<R>> {
  const entries = Object.entries(rows);
  return {
    size,
    offsets: Object.fromEntries(entries.map(([name, field]) => [name, field.offset])) as Offsets<Values<R>>,
    decode(bytes, offset = 0) {
      if (offset + size > bytes.byteLength) throw new RangeError(`needs ${size} bytes at ${offset}`);
      const view = viewOf(bytes);
      return Object.fromEntries(entries.map(([name, field]) => [name, field.get(view, offset)])) as Values<R>;
    },
    encode(value, out, offset = 0) {
      if (offset + size > out.byteLength) throw new RangeError(`needs ${size} bytes at ${offset}`);
      out.fill(0, offset, offset + size);
      const view = viewOf(out);
      for (const [name, field] of entries) {
        const given = value[name];
        if (given === undefined) continue;
        try {
          field.put(view, offset, given);
        } catch (cause) {
          throw new RangeError(`${name}: ${(cause as Error).message}`, { cause });
        }
      }
    },
  };
}

function checkInteger(value: number, bytes: number): void {
  const max = bytes === 8 ? Number.MAX_SAFE_INTEGER : 2 ** (8 * bytes) - 1;
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${value} is not an integer of 0 to ${max}`);
  }
}

export function u8(offset: number): Field<number> {
  return {
    offset,
    get: (view, base) => view.getUint8(base + offset),
    put(view, base, value) {
      checkInteger(value, 1);
      view.setUint8(base + offset, value);
    },
  };
}

export function u16(offset: number): Field<number> {
  return {
    offset,
    get: (view, base) => view.getUint16(base + offset, true),
    put(view, base, value) {
      checkInteger(value, 2);
      view.setUint16(base + offset, value, true);
    },
  };
}

export function u32(offset: number): Field<number> {
  return {
    offset,
    get: (view, base) => view.getUint32(base + offset, true),
    put(view, base, value) {
      checkInteger(value, 4);
      view.setUint32(base + offset, value, true);
    },
  };
}

/** 64 bits as a number: exact below 2^53, rounded above. */
export function u64(offset: number): Field<number> {
  return {
    offset,
    get: (view, base) => getUint64(view, base + offset),
    put(view, base, value) {
      checkInteger(value, 8);
      setUint64(view, base + offset, value);
    },
  };
}

/** 128 bits (capacities, SMART counters) as a number: exact below 2^53, rounded above. */
export function u128(offset: number): Field<number> {
  return {
    offset,
    get: (view, base) => getUint64(view, base + offset) + getUint64(view, base + offset + 8) * 2 ** 64,
    put: u64(offset).put,
  };
}

/** `length` bytes as they are. Decoding copies; encoding wants exactly `length`. */
export function bytes(offset: number, length: number): Field<Uint8Array> {
  return {
    offset,
    get: (view, base) => region(view, base + offset, length).slice(),
    put(view, base, value) {
      if (value.length !== length) throw new RangeError(`${value.length} bytes given, ${length} wanted`);
      region(view, base + offset, length).set(value);
    },
  };
}

/** ASCII padded with spaces (Base 2.0, 1.4). Decoding drops the padding, and NULs that some devices pad with. */
export function ascii(offset: number, length: number): Field<string> {
  return {
    offset,
    get(view, base) {
      let text = '';
      for (const code of region(view, base + offset, length)) text += String.fromCharCode(code);
      return text.replace(/[ \0]+$/, '');
    },
    put(view, base, value) {
      if (!/^[\x20-\x7e]*$/.test(value)) throw new RangeError('has characters outside printable ASCII');
      if (value.length > length) throw new RangeError(`is longer than ${length} characters`);
      const target = region(view, base + offset, length).fill(0x20);
      for (let i = 0; i < value.length; i++) target[i] = value.charCodeAt(i);
    },
  };
}

/** UTF-8 ended by a NUL: NVMe Qualified Names. */
export function utf8(offset: number, length: number): Field<string> {
  return {
    offset,
    get(view, base) {
      const all = region(view, base + offset, length);
      const end = all.indexOf(0);
      return new TextDecoder().decode(all.slice(0, end < 0 ? length : end));
    },
    put(view, base, value) {
      const encoded = new TextEncoder().encode(value);
      if (encoded.length >= length) throw new RangeError(`is longer than ${length - 1} bytes`);
      region(view, base + offset, length)
        .fill(0)
        .set(encoded);
    },
  };
}

/** `count` values, `stride` bytes apart. Encoding takes fewer as well; the rest stays zero. */
export function repeat<T>(
  offset: number,
  count: number,
  stride: number,
  row: (offset: number) => Field<T>,
): Field<T[]> {
  const one = row(0);
  return {
    offset,
    get: (view, base) => Array.from({ length: count }, (_, i) => one.get(view, base + offset + i * stride)),
    put(view, base, values) {
      if (values.length > count) throw new RangeError(`${values.length} entries given, ${count} fit`);
      values.forEach((value, i) => {
        one.put(view, base + offset + i * stride, value);
      });
    },
  };
}

/** A structure within a structure. */
export function nested<T>(offset: number, inner: Struct<T>): Field<T> {
  return {
    offset,
    get: (view, base) => inner.decode(region(view, base + offset, inner.size)),
    put(view, base, value) {
      inner.encode(value, region(view, base + offset, inner.size));
    },
  };
}

function region(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
}
