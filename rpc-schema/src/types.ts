/**
 * The small language in which parameters and results are written: every type is a plain, cloneable object with a
 * `kind`, so that one description gives TypeScript types, validation, command line options and documentation.
 * Integer types carry the widths of SPDK's C structures, because those are the ranges its clients know.
 */

/** A type whose values are `T` in TypeScript. `_value` exists for inference only and is never set. */
export interface Type<out T = unknown> {
  readonly kind: string;
  readonly _value?: T;
}

export type IntegerWidth = 'u8' | 'u16' | 'u32' | 'u64' | 'i32';

export interface BoolType extends Type<boolean> {
  readonly kind: 'bool';
}
/** An integer. `u64` ends at 2^53 - 1: JSON numbers above it would silently change their value in JavaScript. */
export interface IntegerType extends Type<number> {
  readonly kind: 'integer';
  readonly width: IntegerWidth;
  readonly min: number;
  readonly max: number;
}
/** Any finite number, in results and in command line arguments that are turned into integers. */
export interface NumberType extends Type<number> {
  readonly kind: 'number';
}
/** A string without NUL. */
export interface StringType extends Type<string> {
  readonly kind: 'string';
}
/** A UUID in its 36 character form; validation answers with lower case. */
export interface UuidType extends Type<string> {
  readonly kind: 'uuid';
}
export interface EnumType<V extends string = string> extends Type<V> {
  readonly kind: 'enum';
  readonly values: readonly V[];
}
/** A C bit mask, in JSON an array of the names of its bits. */
export interface BitmaskType<V extends string = string> extends Type<V[]> {
  readonly kind: 'bitmask';
  readonly values: readonly V[];
}
export interface ArrayType<T = unknown> extends Type<T[]> {
  readonly kind: 'array';
  readonly item: Type<T>;
  /** Most items accepted; no bound of its own when absent. */
  readonly max: number | undefined;
}
export interface ObjectType<F extends Fields = Fields> extends Type<InferFields<F>> {
  readonly kind: 'object';
  readonly fields: F;
  /** Keys that are not in `fields` are accepted. */
  readonly open: boolean;
}
/** An object whose keys are data. */
export interface MapType<T = unknown> extends Type<Record<string, T>> {
  readonly kind: 'map';
  readonly value: Type<T>;
}
export interface NullableType<T = unknown> extends Type<T | null> {
  readonly kind: 'nullable';
  readonly inner: Type<T>;
}
export interface UnionType<T = unknown> extends Type<T> {
  readonly kind: 'union';
  readonly options: readonly Type<T>[];
}
/** Any JSON value. */
export interface AnyType extends Type<unknown> {
  readonly kind: 'any';
}

export type SomeType =
  | BoolType
  | IntegerType
  | NumberType
  | StringType
  | UuidType
  | EnumType
  | BitmaskType
  | ArrayType
  | ObjectType
  | MapType
  | NullableType
  | UnionType
  | AnyType;

/**
 * How a parameter is spelled on the command line of `rpc.ts`. `value` takes an argument (a comma-separated one for
 * arrays), `set` and `clear` are switches that give true and false, `toggle` has a `--no-` form, `fields` gives
 * each field of an object its own spelling, `none` hides the parameter.
 */
export type CliForm =
  | { readonly form: 'positional' }
  | { readonly form: 'value' | 'set' | 'clear' | 'toggle'; readonly flags: string }
  | { readonly form: 'fields' }
  | { readonly form: 'none' };

export interface FieldDetails {
  /** Unit of the number, such as `bytes` or `ms`. */
  readonly unit?: string;
  /** What holds when the field is absent, as text for people. */
  readonly default?: string;
  /** Set on parameters that are accepted for older scripts only: what to use instead. */
  readonly deprecated?: string;
  readonly cli?: CliForm;
}

/** One key of an object: its type, whether it must be there, and what it means. */
export interface Field<T = unknown, R extends boolean = boolean> extends FieldDetails {
  readonly type: Type<T>;
  readonly required: R;
  readonly text: string;
}

/** The keys of an object. A bare type is a required field that needs no explanation. */
export type Fields = { readonly [name: string]: Field | Type };

export type Infer<T> = T extends Type<infer V> ? V : never;
type FieldValue<F> = F extends Field<infer V, boolean> ? V : F extends Type<infer V> ? V : never;
type OptionalKeys<F> = { [K in keyof F]: F[K] extends Field<unknown, false> ? K : never }[keyof F];
type Flatten<T> = { [K in keyof T]: T[K] };
/** The TypeScript object type that a record of fields describes. */
export type InferFields<F> = Flatten<
  { -readonly [K in Exclude<keyof F, OptionalKeys<F>>]: FieldValue<F[K]> } & {
    -readonly [K in OptionalKeys<F>]?: FieldValue<F[K]>;
  }
>;

const integer = (width: IntegerWidth, min: number, max: number): IntegerType => ({
  kind: 'integer',
  width,
  min,
  max,
});

export const t = {
  bool: { kind: 'bool' } as BoolType,
  u8: integer('u8', 0, 0xff),
  u16: integer('u16', 0, 0xffff),
  u32: integer('u32', 0, 0xffff_ffff),
  u64: integer('u64', 0, Number.MAX_SAFE_INTEGER),
  i32: integer('i32', -0x8000_0000, 0x7fff_ffff),
  number: { kind: 'number' } as NumberType,
  string: { kind: 'string' } as StringType,
  uuid: { kind: 'uuid' } as UuidType,
  any: { kind: 'any' } as AnyType,
  oneOf: <const V extends string>(...values: V[]): EnumType<V> => ({ kind: 'enum', values }),
  bitmask: <const V extends string>(...values: V[]): BitmaskType<V> => ({ kind: 'bitmask', values }),
  array: <T>(item: Type<T>, max?: number): ArrayType<T> => ({ kind: 'array', item, max }),
  object: <const F extends Fields>(fields: F): ObjectType<F> => ({ kind: 'object', fields, open: false }),
  /** An object that may carry more keys than those named. */
  open: <const F extends Fields>(fields: F): ObjectType<F> => ({ kind: 'object', fields, open: true }),
  map: <T>(value: Type<T>): MapType<T> => ({ kind: 'map', value }),
  nullable: <T>(inner: Type<T>): NullableType<T> => ({ kind: 'nullable', inner }),
  union: <T extends Type[]>(...options: T): UnionType<Infer<T[number]>> => ({
    kind: 'union',
    options: options as unknown as Type<Infer<T[number]>>[],
  }),
};

export function required<T>(type: Type<T>, text: string, details: FieldDetails = {}): Field<T, true> {
  return { type, required: true, text, ...details };
}

export function optional<T>(type: Type<T>, text: string, details: FieldDetails = {}): Field<T, false> {
  return { type, required: false, text, ...details };
}

/** The field behind an entry of `Fields`, whichever of the two forms it was written in. */
export function fieldOf(entry: Field | Type): Field {
  return 'kind' in entry ? { type: entry, required: true, text: '' } : entry;
}

export const positional: CliForm = { form: 'positional' };
export const hidden: CliForm = { form: 'none' };
export const fields: CliForm = { form: 'fields' };
export const option = (flags: string): CliForm => ({ form: 'value', flags });
export const set = (flags: string): CliForm => ({ form: 'set', flags });
export const clear = (flags: string): CliForm => ({ form: 'clear', flags });
export const toggle = (flags: string): CliForm => ({ form: 'toggle', flags });
