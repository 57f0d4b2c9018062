import { Worker } from 'node:worker_threads';
import { commandStatus } from '@spdk-ts/nvme-spec';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ZoneAction, ZoneState } from './zone-state.ts';
import { BUSY, type ZoneGeometry, ZoneTable } from './zone-table.ts';

const geometry: ZoneGeometry = {
  num_zones: 6,
  zone_size: 16,
  zone_capacity: 12,
  max_open_zones: 2,
  max_active_zones: 3,
  zones_per_group: 4,
};
const make = (change: Partial<ZoneGeometry> = {}): ZoneTable => {
  const made = { ...geometry, ...change };
  return new ZoneTable(made, ZoneTable.allocate(made));
};
const { EMPTY, IMPLICIT_OPEN, FULL, CLOSED, READ_ONLY, OFFLINE, EXPLICIT_OPEN } = ZoneState;
const { OPEN, CLOSE, FINISH, RESET, OFFLINE: TAKE_OFFLINE } = ZoneAction;

describe('the state machine', () => {
  // Figure "Zone State Machine" of the command set, as a table: what one zone becomes, null where it may not.
  const states = [EMPTY, IMPLICIT_OPEN, EXPLICIT_OPEN, CLOSED, FULL, READ_ONLY, OFFLINE];
  const transitions: [string, number, (number | null)[]][] = [
    ['open', OPEN, [EXPLICIT_OPEN, EXPLICIT_OPEN, EXPLICIT_OPEN, EXPLICIT_OPEN, null, null, null]],
    ['close', CLOSE, [null, CLOSED, CLOSED, CLOSED, null, null, null]],
    ['finish', FINISH, [FULL, FULL, FULL, FULL, FULL, null, null]],
    ['reset', RESET, [EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, null, null]],
    ['offline', TAKE_OFFLINE, [null, null, null, null, null, OFFLINE, OFFLINE]],
  ];
  function inState(state: number): ZoneTable {
    const table = make();
    table.restore(0, state, state === EMPTY ? 0 : 5);
    if (state === IMPLICIT_OPEN) table.startWrite(5, 1);
    if (state === EXPLICIT_OPEN) table.manage(OPEN, 0);
    expect(table.state(0)).toBe(state);
    return table;
  }

  it('wears out from any state, and does not come back', () => {
    for (const state of states) {
      const worn = inState(state);
      expect(worn.wear(0, READ_ONLY)).toBe(state === OFFLINE ? 0xbf : 0);
      expect(worn.state(0)).toBe(state === OFFLINE ? OFFLINE : READ_ONLY);
      const gone = inState(state);
      expect(gone.wear(0, OFFLINE)).toBe(0);
      expect([gone.state(0), gone.offline_zones, gone.open_zones, gone.active_zones]).toEqual([
        OFFLINE,
        1,
        0,
        0,
      ]);
    }
    const held = inState(FULL);
    held.hold(0);
    expect(held.wear(0, OFFLINE)).toBe(BUSY);
    held.release(0);
    // What is under way ends as it ends.
    const written = inState(EMPTY);
    expect(written.startWrite(0, 3)).toBe(0);
    expect(written.wear(0, READ_ONLY)).toBe(0);
    written.endWrite(0, 3, true);
    expect([written.state(0), written.blocksWritten(0), written.isQuiet(0)]).toEqual([READ_ONLY, 3, true]);
  });

  it.each(transitions)('%s', (_name, action, targets) => {
    states.forEach((state, at) => {
      const table = inState(state);
      const target = targets[at]!;
      expect(table.manage(action, 0)).toBe(target === null ? commandStatus.invalidZoneStateTransition : 0);
      expect(table.state(0)).toBe(target ?? state);
    });
  });

  it.each([
    [EMPTY, 0],
    [IMPLICIT_OPEN, 0],
    [EXPLICIT_OPEN, 0],
    [CLOSED, 0],
    [FULL, 0xb9],
    [READ_ONLY, 0xba],
    [OFFLINE, 0xbb],
  ])('writes and appends in state %i: status %i', (state, status) => {
    const write = inState(state);
    expect(write.startWrite(write.blocksWritten(0) + (state === IMPLICIT_OPEN ? 1 : 0), 1)).toBe(status);
    expect(write.state(0)).toBe(
      status !== 0 ? state : state === EXPLICIT_OPEN ? EXPLICIT_OPEN : IMPLICIT_OPEN,
    );
    expect(inState(state).startAppend(0, 1)).toBe(status);
  });

  it('writes at the write pointer and inside the capacity only', () => {
    const table = make();
    expect(table.startWrite(17, 1)).toBe(0xbc);
    expect(table.startWrite(16, 13)).toBe(0xb8);
    expect(table.startWrite(16, 11)).toBe(0);
    expect(table.writePointer(1)).toBe(27);
    expect(table.startWrite(16, 1)).toBe(0xbc);
    expect(table.startAppend(1, 2)).toBe(0xb8);
    expect(table.state(1)).toBe(IMPLICIT_OPEN);
    expect([table.startAppend(1, 1), table.location]).toEqual([0, 27]);
    expect([table.state(1), table.writePointer(1)]).toEqual([FULL, 28]);
    expect([table.open_zones, table.active_zones]).toEqual([0, 0]);
  });

  it('closes the zone that was opened implicitly the longest ago, never one that was opened explicitly', () => {
    const table = make();
    table.startWrite(0, 1);
    table.startWrite(16, 1);
    expect(table.startWrite(32, 1)).toBe(0);
    expect([0, 1, 2].map((zone) => table.state(zone))).toEqual([CLOSED, IMPLICIT_OPEN, IMPLICIT_OPEN]);
    expect(table.startWrite(48, 1)).toBe(0xbd);
    expect([table.manage(OPEN, 1), table.manage(OPEN, 2)]).toEqual([0, 0]);
    expect(table.startWrite(1, 1)).toBe(0xbe);
    expect(table.manage(OPEN, 0)).toBe(0xbe);
    expect(table.manage(FINISH, 1)).toBe(0);
    expect(table.startWrite(1, 1)).toBe(0);
    expect([table.open_zones, table.active_zones]).toEqual([2, 2]);
  });

  it('acts on all zones that an action is for', () => {
    const table = make({ max_open_zones: 0, max_active_zones: 0 });
    for (const [zone, state] of [EMPTY, CLOSED, CLOSED, FULL, READ_ONLY, OFFLINE].entries())
      table.restore(zone, state, state === EMPTY ? 0 : 3);
    const all = (action: number): number[] => {
      expect(table.manageAll(action, 0, 6)).toBe(0);
      return [0, 1, 2, 3, 4, 5].map((zone) => table.state(zone));
    };
    expect(all(OPEN)).toEqual([EMPTY, EXPLICIT_OPEN, EXPLICIT_OPEN, FULL, READ_ONLY, OFFLINE]);
    expect(all(CLOSE)).toEqual([EMPTY, CLOSED, CLOSED, FULL, READ_ONLY, OFFLINE]);
    expect(all(FINISH)).toEqual([EMPTY, FULL, FULL, FULL, READ_ONLY, OFFLINE]);
    expect(all(RESET)).toEqual([EMPTY, EMPTY, EMPTY, EMPTY, READ_ONLY, OFFLINE]);
    expect(all(TAKE_OFFLINE)).toEqual([EMPTY, EMPTY, EMPTY, EMPTY, OFFLINE, OFFLINE]);
    const limited = make();
    for (const zone of [0, 1, 2]) limited.restore(zone, CLOSED, 1);
    expect(limited.manageAll(OPEN, 0, 6)).toBe(0xbe);
    expect(limited.open_zones).toBe(0);
    expect(limited.manageAll(OPEN, 1, 3)).toBe(0);
    expect(limited.open_zones).toBe(2);
  });

  it('keeps everything away from a zone that is held, and knows when its writes have ended', () => {
    const table = make();
    expect(table.startWrite(0, 2)).toBe(0);
    expect([table.hold(0), table.hold(0), table.isQuiet(0)]).toEqual([true, false, false]);
    expect(table.startWrite(2, 1)).toBe(BUSY);
    expect(table.startAppend(0, 1)).toBe(BUSY);
    expect(table.manage(FINISH, 0)).toBe(BUSY);
    expect(table.manageAll(FINISH, 0, 6)).toBe(BUSY);
    expect(table.manageAll(FINISH, 1, 6)).toBe(0);
    table.endWrite(0, 2, true);
    expect([table.isQuiet(0), table.blocksWritten(0)]).toEqual([true, 2]);
    expect(table.reset(0)).toBe(0);
    table.release(0);
    expect([table.startWrite(0, 1), table.blocksWritten(0)]).toEqual([0, 0]);
  });

  it('takes back what a failed write took, if nothing came after it', () => {
    const table = make();
    for (const at of [0, 2, 4]) table.startWrite(at, 2);
    table.endWrite(2, 2, false);
    expect(table.writePointer(0)).toBe(6);
    table.endWrite(4, 2, false);
    expect(table.writePointer(0)).toBe(4);
    table.endWrite(0, 2, true);
    expect(table.blocksWritten(0)).toBe(2);
    table.startWrite(4, 8);
    table.endWrite(4, 8, false);
    expect([table.state(0), table.writePointer(0)]).toEqual([FULL, 12]);
  });

  it('tells which groups of zones have changed', () => {
    const table = make();
    table.manage(OPEN, 5);
    expect([table.takeChanged(0), table.takeChanged(1)]).toEqual([false, false]);
    table.startAppend(5, 1);
    table.endWrite(table.location, 1, true);
    expect([table.takeChanged(0), table.takeChanged(1), table.takeChanged(1)]).toEqual([false, true, false]);
  });
});

/** The same rules, written down for one thread without regard to cost. */
class Model {
  zones = Array.from({ length: geometry.num_zones }, () => ({ state: EMPTY as number, pointer: 0 }));
  /** Implicitly opened zones, in the order in which they were opened. */
  implicit: number[] = [];

  count(...states: number[]): number {
    return this.zones.filter(({ state }) => states.includes(state)).length;
  }
  set(zone: number, state: number): void {
    this.implicit = this.implicit.filter((other) => other !== zone);
    if (state === IMPLICIT_OPEN) this.implicit.push(zone);
    this.zones[zone]!.state = state;
  }
  room(zone: number): number {
    const active = this.count(IMPLICIT_OPEN, EXPLICIT_OPEN, CLOSED);
    if (this.zones[zone]!.state === EMPTY && active >= geometry.max_active_zones) return 0xbd;
    if (this.count(IMPLICIT_OPEN, EXPLICIT_OPEN) < geometry.max_open_zones) return 0;
    if (this.implicit.length === 0) return 0xbe;
    this.set(this.implicit[0]!, CLOSED);
    return 0;
  }
  write(zone: number, at: number, blocks: number): number {
    const one = this.zones[zone]!;
    if (one.state === FULL) return 0xb9;
    if (one.state === READ_ONLY) return 0xba;
    if (one.state === OFFLINE) return 0xbb;
    if (at + blocks > geometry.zone_capacity) return 0xb8;
    if (at !== one.pointer) return 0xbc;
    if (one.state === EMPTY || one.state === CLOSED) {
      const status = this.room(zone);
      if (status !== 0) return status;
      this.set(zone, IMPLICIT_OPEN);
    }
    one.pointer += blocks;
    if (one.pointer === geometry.zone_capacity) this.set(zone, FULL);
    return 0;
  }
  manage(action: number, zone: number): number {
    const one = this.zones[zone]!;
    const allowed: Record<number, readonly number[]> = {
      [OPEN]: [EMPTY, IMPLICIT_OPEN, EXPLICIT_OPEN, CLOSED],
      [CLOSE]: [IMPLICIT_OPEN, EXPLICIT_OPEN, CLOSED],
      [FINISH]: [EMPTY, IMPLICIT_OPEN, EXPLICIT_OPEN, CLOSED, FULL],
      [RESET]: [EMPTY, IMPLICIT_OPEN, EXPLICIT_OPEN, CLOSED, FULL],
      [TAKE_OFFLINE]: [READ_ONLY, OFFLINE],
    };
    if (!allowed[action]!.includes(one.state)) return 0xbf;
    if (action === OPEN && (one.state === EMPTY || one.state === CLOSED)) {
      const status = this.room(zone);
      if (status !== 0) return status;
    }
    const target = { [OPEN]: EXPLICIT_OPEN, [CLOSE]: CLOSED, [FINISH]: FULL, [RESET]: EMPTY }[action];
    if (target !== one.state) this.set(zone, target ?? OFFLINE);
    if (action === RESET) one.pointer = 0;
    return 0;
  }
}

it('does as the model does', () => {
  const zone = fc.nat({ max: geometry.num_zones - 1 });
  const blocks = fc.integer({ min: 1, max: geometry.zone_capacity + 1 });
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(fc.constant('append' as const), zone, blocks) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('next' as const), zone, blocks) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('write' as const), zone, fc.nat({ max: 15 })) },
    { weight: 4, arbitrary: fc.tuple(fc.constant('manage' as const), zone, fc.nat({ max: 4 })) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('wear' as const), zone, fc.constant(0)) },
  );
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
      const table = make();
      const model = new Model();
      for (const [what, index, value] of steps) {
        const start = table.startOf(index);
        const { pointer } = model.zones[index]!;
        if (what === 'wear') {
          // Seldom enough that the device stays usable.
          if (index !== 5) continue;
          table.restore(index, READ_ONLY, pointer);
          model.set(index, READ_ONLY);
        } else if (what === 'append') {
          expect(table.startAppend(index, value)).toBe(model.write(index, pointer, value));
          expect(table.location).toBe(start + pointer);
        } else if (what === 'next')
          expect(table.startWrite(start + pointer, value)).toBe(model.write(index, pointer, value));
        else if (what === 'write')
          expect(table.startWrite(start + value, 1)).toBe(model.write(index, value, 1));
        else expect(table.manage(value, index)).toBe(model.manage(value, index));
        model.zones.forEach(({ state }, at) => {
          expect(table.state(at)).toBe(state);
        });
        const pointers = model.zones.map(
          (one, at) => table.startOf(at) + (one.state === FULL ? 12 : one.pointer),
        );
        expect(pointers.map((_, at) => table.writePointer(at))).toEqual(pointers);
        const open = model.count(IMPLICIT_OPEN, EXPLICIT_OPEN);
        expect([table.open_zones, table.active_zones]).toEqual([open, open + model.count(CLOSED)]);
      }
    }),
    { numRuns: 100 },
  );
});

it('gives each append of several threads its own blocks, and fills zones exactly', async () => {
  const shape = {
    ...geometry,
    zone_size: 1 << 16,
    zone_capacity: 60_000,
    max_open_zones: 1,
    max_active_zones: 0,
  };
  const memory = ZoneTable.allocate(shape);
  // Three threads append to all zones in turn: each write closes another thread's zone.
  const source = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { ZoneTable } = await import(workerData.url);
    const table = new ZoneTable(workerData.shape, workerData.memory);
    const got = [];
    const full = new Set();
    for (let i = workerData.index; full.size < workerData.shape.num_zones; i++) {
      const zone = i % workerData.shape.num_zones;
      const blocks = 1 + (i % 3);
      const status = table.startAppend(zone, blocks);
      if (status === 0) {
        got.push(table.location, blocks);
        table.endWrite(table.location, blocks, true);
      } else if (status === 0xb9) full.add(zone);
      else if (status !== 0xb8) throw new Error('status ' + status);
    }
    parentPort.postMessage(got);`;
  const url = new URL('../dist/index.js', import.meta.url).href;
  const takes = await Promise.all(
    [0, 1, 2].map(
      (index) =>
        new Promise<number[]>((resolve, reject) => {
          const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
            workerData: { url, shape, memory, index },
          });
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    ),
  );
  const owners = new Uint8Array(shape.num_zones * shape.zone_size);
  for (const got of takes)
    for (let i = 0; i < got.length; i += 2)
      for (let block = got[i]!; block < got[i]! + got[i + 1]!; block++) owners[block]!++;
  for (let zone = 0; zone < shape.num_zones; zone++) {
    const start = zone * shape.zone_size;
    expect(owners.subarray(start, start + shape.zone_capacity).every((count) => count === 1)).toBe(true);
    expect(owners.subarray(start + shape.zone_capacity, start + shape.zone_size).every((c) => c === 0)).toBe(
      true,
    );
  }
  const table = new ZoneTable(shape, memory);
  expect([table.open_zones, table.active_zones]).toEqual([0, 0]);
  expect([0, 1, 2, 3, 4, 5].map((zone) => table.blocksWritten(zone))).toEqual(Array(6).fill(60_000));
});
