/** Values that no call of the addon is made for, each with a name: types, numbers, memory and externals. */
import { createServer } from 'node:net';

export interface Named {
  readonly name: string;
  readonly value: unknown;
}

/** Numbers at and beyond every edge. */
const numbers = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.MAX_VALUE,
  Number.MIN_VALUE,
  0,
  -0,
  0.5,
  -1,
  1,
  2,
  3,
  7,
  8,
  255,
  4095,
  4096,
  65_535,
  65_536,
  1_000_003,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 46,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  2 ** 64,
  -(2 ** 31),
  -(2 ** 53),
];

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(64);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

function detachedView(): Uint8Array {
  const view = new Uint8Array(new ArrayBuffer(64), 8, 16);
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

/** A view whose resizable buffer no longer reaches it. */
function outOfBounds(): Uint8Array {
  type Resizable = ArrayBuffer & { resize(bytes: number): void };
  const make = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => Resizable;
  const buffer = new make(4096, { maxByteLength: 8192 });
  const view = new Uint8Array(buffer, 1024, 512);
  buffer.resize(16);
  return view;
}

/** An external of Node's own: it points at something, but at nothing of the addon's. */
async function foreignExternal(): Promise<unknown> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const external = (server as unknown as { _handle: { _externalStream: unknown } })._handle._externalStream;
  server.unref();
  return external;
}

/** Float16Array where there is one: the addon was built against headers that do not know it. */
function halves(): unknown {
  const make = (globalThis as { Float16Array?: new (length: number) => unknown }).Float16Array;
  return make === undefined ? undefined : new make(32);
}

const throwing = {
  valueOf: () => {
    throw new Error('valueOf was called');
  },
  toString: () => {
    throw new Error('toString was called');
  },
};

export async function hostileValues(): Promise<Named[]> {
  const others: [string, unknown][] = [
    ['undefined', undefined],
    ['null', null],
    ['true', true],
    ['10n', 10n],
    ['2n ** 64n', 2n ** 64n],
    ['a symbol', Symbol('hostile')],
    ["''", ''],
    ["'1'", '1'],
    ["'text'", 'text'],
    ['a NUL', 'a\0b'],
    ['a lone surrogate', '\ud800'],
    ['a long text', 'x'.repeat(100_000)],
    ['{}', {}],
    ['[]', []],
    ['[1, 2]', [1, 2]],
    ['{length}', { length: 5 }],
    ['a throwing object', throwing],
    ['a function', () => {}],
    ['a throwing function', () => throwing.valueOf()],
    ['a date', new Date(0)],
    ['a proxy of a view', new Proxy(new Uint8Array(8), {})],
    ['a revoked proxy', revoked()],
    ['no bytes', new Uint8Array(0)],
    ['no buffer', new ArrayBuffer(0)],
    ['no bytes at the end', new Uint8Array(new ArrayBuffer(16), 16, 0)],
    ['an odd view', new Uint8Array(new ArrayBuffer(600), 3, 500)],
    ['a buffer', new ArrayBuffer(512)],
    ['64 bytes', new Uint8Array(64).fill(0xff)],
    ['a Buffer', Buffer.alloc(300, 7)],
    ['a DataView', new DataView(new ArrayBuffer(64))],
    ['doubles', new Float64Array(64).fill(Number.NaN)],
    ['64-bit integers', new BigInt64Array(8)],
    ['descriptors', Int32Array.from([-1, 2 ** 31 - 1, 0, 1])],
    ['many descriptors', new Int32Array(300)],
    ['half-precision floats', halves()],
    ['shared memory', new SharedArrayBuffer(64)],
    ['a shared view', new Uint8Array(new SharedArrayBuffer(64))],
    ['a detached buffer', detached()],
    ['a detached view', detachedView()],
    ['a view out of bounds', outOfBounds()],
    ['an external of Node.js', await foreignExternal()],
  ];
  return [
    ...numbers.map((value) => ({ name: String(value), value })),
    ...others.map(([name, value]) => ({ name, value })),
  ];
}

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}
