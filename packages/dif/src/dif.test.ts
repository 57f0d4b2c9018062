import { crc32c } from '@spdk-ts/nvme-spec';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  crc16T10dif,
  crc64Nvme,
  Dif,
  DifCheck,
  DifFailure,
  DifFormat,
  type DifTags,
  DifType,
  PI_BYTES,
  Pieces,
} from './index.ts';

const ALL = DifCheck.GUARD | DifCheck.APPTAG | DifCheck.REFTAG;
const seed = Number(process.env['DIF_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`DIF_SEED=${seed}`);

interface Kind {
  data: number;
  md_size: number;
  md_interleave: boolean;
  dif_type: number;
  dif_pi_format: number;
  dif_is_head_of_md: boolean;
}
const sizes = [
  [512, 8],
  [512, 16],
  [4096, 64],
] as const;
const kinds: Kind[] = sizes
  .flatMap(([data, md_size]) =>
    [true, false].flatMap((md_interleave) =>
      [1, 2, 3].flatMap((dif_type) =>
        [0, 1, 2].flatMap((dif_pi_format) =>
          [true, false].map((dif_is_head_of_md) => ({
            ...{ data, md_size, md_interleave, dif_type, dif_pi_format, dif_is_head_of_md },
          })),
        ),
      ),
    ),
  )
  .filter(({ md_size, dif_pi_format }) => md_size >= PI_BYTES[dif_pi_format]!);

const difOf = (kind: Kind): Dif =>
  new Dif({ ...kind, block_size: kind.data + (kind.md_interleave ? kind.md_size : 0) });

/** One block as the specification describes it, with numbers of any size: data, then metadata with all in place. */
function block(kind: Kind, data: Uint8Array, rest: Uint8Array, tags: DifTags, at: number): Buffer {
  const pi_bytes = PI_BYTES[kind.dif_pi_format]!;
  const guarded = kind.dif_is_head_of_md ? data : Buffer.concat([data, rest]);
  let guard = 0n;
  if (kind.dif_pi_format === DifFormat.GUARD_16) guard = BigInt(crc16T10dif(guarded));
  else if (kind.dif_pi_format === DifFormat.GUARD_32) guard = BigInt(crc32c(guarded));
  else {
    const crc = new Uint32Array(2);
    crc64Nvme(crc, guarded);
    guard = (BigInt(crc[1]!) << 32n) | BigInt(crc[0]!);
  }
  const [guard_bytes, storage_bytes, ref_bytes] = [
    [2, 0, 4],
    [4, 2, 8],
    [8, 0, 6],
  ][kind.dif_pi_format]!;
  const hex = (value: bigint, bytes: number): string =>
    BigInt.asUintN(8 * bytes, value)
      .toString(16)
      .padStart(2 * bytes, '0');
  const ref = BigInt(tags.ref_tag) + (kind.dif_type === DifType.TYPE_3 ? 0n : BigInt(at));
  const pi = Buffer.from(
    hex(guard, guard_bytes!) +
      hex(BigInt(tags.app_tag), 2) +
      '00'.repeat(storage_bytes!) +
      hex(ref, ref_bytes!),
    'hex',
  );
  expect(pi.length).toBe(pi_bytes);
  return Buffer.concat(kind.dif_is_head_of_md ? [data, pi, rest] : [data, rest, pi]);
}

/** An array in pieces with gaps, cut at random. */
function scattered(bytes: Uint8Array, cuts: readonly number[]): { pieces: Pieces; gather(): Buffer } {
  const pieces = new Pieces().clear();
  const parts: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const length = Math.min(bytes.length - at, i < cuts.length ? cuts[i]! : bytes.length);
    const view = new Uint8Array(length + 5);
    view.set(bytes.subarray(at, at + length), 3);
    pieces.push(view, 3, length);
    parts.push(view.subarray(3, 3 + length));
    at += length;
  }
  return { pieces, gather: () => Buffer.concat(parts) };
}

const random = fc.record({
  blocks: fc.integer({ min: 1, max: 4 }),
  fill: fc.nat(),
  // Some of them wrap the reference tag of 32 or 48 bits.
  ref_tag: fc.oneof(fc.nat(1000), fc.integer({ min: 2 ** 32 - 2, max: 2 ** 32 }), fc.maxSafeNat()),
  app_tag: fc.nat(0xfffe),
  cuts: fc.array(fc.integer({ min: 1, max: 1500 }), { maxLength: 8 }),
  victim: fc.nat(),
});

function filled(length: number, start: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = start | 1; i < length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) | 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

/** The blocks of a device and of their metadata, from whole blocks. */
function split(kind: Kind, whole: Buffer[]): { data: Buffer; md: Buffer } {
  if (kind.md_interleave) return { data: Buffer.concat(whole), md: Buffer.alloc(0) };
  return {
    data: Buffer.concat(whole.map((bytes) => bytes.subarray(0, kind.data))),
    md: Buffer.concat(whole.map((bytes) => bytes.subarray(kind.data))),
  };
}

const name = ({ data, md_size, md_interleave, dif_type, dif_pi_format, dif_is_head_of_md }: Kind): string =>
  `${data}+${md_size} ${md_interleave ? 'interleaved' : 'separate'}, type ${dif_type}, ` +
  `${16 << dif_pi_format} bits, ${dif_is_head_of_md ? 'first' : 'last'}`;

describe.each(kinds.map((kind) => [name(kind), kind] as const))('%s', (_name, kind) => {
  const dif = difOf(kind);
  const pi_bytes = PI_BYTES[kind.dif_pi_format]!;
  const rest_bytes = kind.md_size - pi_bytes;
  const failure = new DifFailure();

  it('generates, checks, and finds any byte that changes', () => {
    fc.assert(
      fc.property(random, ({ blocks, fill, ref_tag, app_tag, cuts, victim }) => {
        const tags: DifTags = { ref_tag: Math.min(ref_tag, 2 ** 53 - 8), app_tag, app_tag_mask: 0xffff };
        const parts = Array.from({ length: blocks }, (_, i) => ({
          data: filled(kind.data, fill + i),
          rest: filled(rest_bytes, fill + 77 + i),
        }));
        const right = parts.map(({ data, rest }, i) => block(kind, data, rest, tags, i));
        // With something else where protection information belongs.
        const before = right.map((bytes) => {
          const copy = Buffer.from(bytes);
          const at = kind.data + (kind.dif_is_head_of_md ? 0 : rest_bytes);
          copy.fill(0x5c, at, at + pi_bytes);
          return copy;
        });
        const raw = split(kind, before);
        const data = scattered(raw.data, cuts);
        const md = scattered(raw.md, cuts.slice(1));
        dif.generate(data.pieces, md.pieces, blocks, tags);
        const wanted = split(kind, right);
        expect(data.gather().equals(wanted.data)).toBe(true);
        expect(md.gather().equals(wanted.md)).toBe(true);
        expect(dif.verify(data.pieces, md.pieces, blocks, tags, ALL, failure)).toBe(true);
        expect(failure.check).toBe(0);

        // One byte of one block.
        const which = victim % blocks;
        const where = Math.floor(victim / blocks) % (kind.data + kind.md_size);
        const bad = right.map((bytes) => Buffer.from(bytes));
        bad[which]![where]! ^= 1 << (victim % 8);
        const spoilt = split(kind, bad);
        const ok = dif.verify(Pieces.of(spoilt.data), Pieces.of(spoilt.md), blocks, tags, ALL, failure);
        const pi_start = kind.data + (kind.dif_is_head_of_md ? 0 : rest_bytes);
        const in_pi = where >= pi_start && where < pi_start + pi_bytes ? where - pi_start : -1;
        const guard_bytes = 2 << kind.dif_pi_format;
        const ref_start = pi_bytes - [4, 8, 6][kind.dif_pi_format]!;
        let check = 0;
        if (where < kind.data || (in_pi < 0 && !kind.dif_is_head_of_md)) check = DifCheck.GUARD;
        else if (in_pi >= 0 && in_pi < guard_bytes) check = DifCheck.GUARD;
        else if (in_pi >= guard_bytes && in_pi < guard_bytes + 2) check = DifCheck.APPTAG;
        else if (in_pi >= ref_start && kind.dif_type !== DifType.TYPE_3) check = DifCheck.REFTAG;
        // An application tag that has become FFFFh turns checks off, and what is not covered is not seen.
        const escaped = bad[which]!.readUInt16BE(pi_start + guard_bytes) === 0xffff;
        if (escaped && kind.dif_type !== DifType.TYPE_3) check = 0;
        expect({ ok, check: failure.check }).toEqual({ ok: check === 0, check });
        if (check === 0) return;
        expect(failure.block).toBe(which);
        const hex = in_pi < 0 ? '' : `${failure.actual_low.toString(16)}h, not`;
        expect(failure.describe(100)).toContain(`of block ${100 + which} is`);
        expect(failure.describe()).toContain(hex);
        expect(
          dif.verify(Pieces.of(spoilt.data), Pieces.of(spoilt.md), blocks, tags, ALL & ~check, failure),
        ).toBe(true);
      }),
      { numRuns: 12, seed },
    );
  });

  it('puts protection information between plain data, and takes it out again', () => {
    fc.assert(
      fc.property(random, ({ blocks, fill, app_tag, cuts, victim }) => {
        const tags: DifTags = { ref_tag: fill, app_tag, app_tag_mask: 0xffff };
        const plain = filled(blocks * kind.data, fill);
        const zeroes = Buffer.alloc(rest_bytes);
        const right = Array.from({ length: blocks }, (_, i) =>
          block(kind, plain.subarray(i * kind.data, (i + 1) * kind.data), zeroes, tags, i),
        );
        const wanted = split(kind, right);
        const data = scattered(Buffer.alloc(wanted.data.length, 9), cuts);
        const md = scattered(Buffer.alloc(wanted.md.length, 9), cuts);
        dif.insert(scattered(plain, cuts.slice(2)).pieces, data.pieces, md.pieces, blocks, tags);
        expect(data.gather().equals(wanted.data)).toBe(true);
        expect(md.gather().equals(wanted.md)).toBe(true);
        const back = scattered(Buffer.alloc(plain.length), cuts.slice(1));
        expect(dif.strip(data.pieces, md.pieces, back.pieces, blocks, tags, ALL, failure)).toBe(true);
        expect(back.gather().equals(plain)).toBe(true);

        const copy = scattered(Buffer.alloc(wanted.data.length), cuts);
        const copy_md = scattered(Buffer.alloc(wanted.md.length), cuts);
        const other = { ...tags, ref_tag: tags.ref_tag + 1000, app_tag: app_tag ^ 1 };
        dif.copyGenerate(data.pieces, md.pieces, copy.pieces, copy_md.pieces, blocks, other);
        expect(dif.verify(copy.pieces, copy_md.pieces, blocks, other, ALL, failure)).toBe(true);

        // Moved to other blocks: only reference tags change, and only from the right ones.
        const to = { ...tags, ref_tag: tags.ref_tag + 5 };
        expect(dif.remap(data.pieces, md.pieces, blocks, tags, to, failure)).toBe(true);
        const moved = kind.dif_type === DifType.TYPE_3 ? tags : to;
        expect(dif.verify(data.pieces, md.pieces, blocks, moved, ALL, failure)).toBe(true);
        if (kind.dif_type !== DifType.TYPE_3) {
          expect(dif.remap(data.pieces, md.pieces, blocks, tags, to, failure)).toBe(false);
          expect(failure.check).toBe(DifCheck.REFTAG);
        }

        const spoilt = Buffer.from(wanted.data);
        spoilt[victim % kind.data]! ^= 1;
        expect(
          dif.strip(Pieces.of(spoilt), Pieces.of(wanted.md), back.pieces, blocks, tags, ALL, failure),
        ).toBe(false);
        expect(failure.check).toBe(DifCheck.GUARD);
      }),
      { numRuns: 6, seed },
    );
  });

  it('turns checks off by the tags that the type has for it', () => {
    const tags: DifTags = { ref_tag: 7, app_tag: 0xffff, app_tag_mask: 0xffff };
    const bytes = filled(kind.data, 5);
    const { data, md } = split(kind, [block(kind, bytes, Buffer.alloc(rest_bytes), tags, 0)]);
    data[0]! ^= 1;
    const type_3 = kind.dif_type === DifType.TYPE_3;
    expect(dif.verify(Pieces.of(data), Pieces.of(md), 1, tags, ALL, failure)).toBe(!type_3);
    const meta = kind.md_interleave ? data.subarray(kind.data) : md;
    const pi_start = kind.dif_is_head_of_md ? 0 : rest_bytes;
    meta.fill(0xff, pi_start + pi_bytes - [4, 8, 6][kind.dif_pi_format]!, pi_start + pi_bytes);
    expect(dif.verify(Pieces.of(data), Pieces.of(md), 1, tags, ALL, failure)).toBe(true);
  });

  it('writes blocks that are all alike, and deallocated ones that no check refuses', () => {
    const tags: DifTags = { ref_tag: 2 ** 33, app_tag: 0, app_tag_mask: 0xffff };
    const count = 3;
    const right = Array.from({ length: count }, (_, i) =>
      block(kind, Buffer.alloc(kind.data), Buffer.alloc(rest_bytes), tags, i),
    );
    const wanted = split(kind, right);
    const data = Buffer.alloc(wanted.data.length);
    const md = Buffer.alloc(wanted.md.length);
    dif.generate(Pieces.of(data), Pieces.of(md), count, tags, true);
    expect(data.equals(wanted.data) && md.equals(wanted.md)).toBe(true);
    data.fill(0);
    md.fill(0);
    dif.deallocate(Pieces.of(data), Pieces.of(md), count);
    expect(dif.verify(Pieces.of(data), Pieces.of(md), count, { ...tags, ref_tag: 99 }, ALL, failure)).toBe(
      true,
    );
    const meta = kind.md_interleave ? data.subarray(kind.data) : md;
    const pi_start = kind.dif_is_head_of_md ? 0 : rest_bytes;
    const guard_bytes = 2 << kind.dif_pi_format;
    const guard = meta.subarray(pi_start, pi_start + guard_bytes);
    const from = kind.data + pi_start;
    expect(guard.equals(right[0]!.subarray(from, from + guard_bytes))).toBe(true);
    expect(meta.subarray(pi_start + guard_bytes, pi_start + pi_bytes).every((byte) => byte === 0xff)).toBe(
      true,
    );
  });
});

it('compares only the bits of the application tag that the mask has', () => {
  const dif = difOf(kinds[0]!);
  const bytes = Buffer.alloc(520);
  const failure = new DifFailure();
  dif.generate(Pieces.of(bytes), null, 1, { ref_tag: 0, app_tag: 0x1234, app_tag_mask: 0 });
  const verify = (app_tag: number, app_tag_mask: number): boolean =>
    dif.verify(Pieces.of(bytes), null, 1, { ref_tag: 0, app_tag, app_tag_mask }, ALL, failure);
  expect([verify(0x12ff, 0xff00), verify(0, 0), verify(0x1235, 0xffff)]).toEqual([true, true, false]);
  expect(failure).toMatchObject({ check: DifCheck.APPTAG, expected_low: 0x1235, actual_low: 0x1234 });
});

it('knows the protection information of a block of zeroes from the specification', () => {
  // CRC-32C of 4096 zeroes: 98F94189h; CRC-64: 6482D367EB22B64Eh.
  const of = (dif_pi_format: number): string => {
    const dif = difOf({ ...kinds[0]!, data: 4096, md_size: 16, dif_pi_format, dif_is_head_of_md: true });
    const bytes = Buffer.alloc(4112);
    dif.generate(Pieces.of(bytes), null, 1, { ref_tag: 0x1_2345_6789, app_tag: 0xabcd, app_tag_mask: 0 });
    return bytes.subarray(4096).toString('hex');
  };
  expect(of(DifFormat.GUARD_16)).toBe('0000abcd234567890000000000000000');
  expect(of(DifFormat.GUARD_32)).toBe('98f94189abcd00000000000123456789');
  expect(of(DifFormat.GUARD_64)).toBe('6482d367eb22b64eabcd000123456789');
});

it('refuses geometries that cannot be', () => {
  const make = (change: Partial<Kind>) => () => difOf({ ...kinds[0]!, ...change });
  expect(make({ dif_pi_format: 2 })).toThrow(
    'md_size is 8; protection information with a guard of 64 bits needs 16',
  );
  expect(make({ dif_type: 4 })).toThrow('dif_type is 4');
  expect(make({ dif_pi_format: 3 })).toThrow('dif_pi_format is 3');
  expect(make({ md_size: 4, dif_type: 0 })).not.toThrow();
});
