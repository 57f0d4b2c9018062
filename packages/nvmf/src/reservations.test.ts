import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  accessOf,
  decideReservation,
  holds,
  noReservation,
  type ReservationCommand,
  type ReservationLimits,
  type ReservationState,
} from './reservations.ts';

const [A, B, C] = ['a', 'b', 'c'].map((digit) => digit.repeat(32)) as [string, string, string];
const limits: ReservationLimits = { max_registrants: 4, persists: true };
const CONFLICT = 0x4083;
const INVALID_FIELD = 0x4002;
const PREEMPTED_REGISTRATION = 1;
const RELEASED = 2;
const PREEMPTED_RESERVATION = 3;

const register = (nrkey: bigint, more = {}): ReservationCommand => ({
  kind: 'register',
  ...{ action: 0, iekey: false, cptpl: 0, crkey: 0n, nrkey },
  ...more,
});
const unregister = (crkey: bigint, more = {}) => register(0n, { action: 1, crkey, ...more });
const replace = (crkey: bigint, nrkey: bigint, more = {}) => register(nrkey, { action: 2, crkey, ...more });
const acquire = (crkey: bigint, rtype: number, more = {}): ReservationCommand => ({
  kind: 'acquire',
  ...{ action: 0, iekey: false, rtype, crkey, prkey: 0n },
  ...more,
});
const preempt = (crkey: bigint, rtype: number, prkey: bigint, more = {}) =>
  acquire(crkey, rtype, { action: 1, prkey, ...more });
const release = (crkey: bigint, rtype: number, more = {}): ReservationCommand => ({
  kind: 'release',
  ...{ action: 0, iekey: false, rtype, crkey },
  ...more,
});
const clear = (crkey: bigint) => release(crkey, 0, { action: 1 });

/** The state after commands that all succeed. */
function after(...commands: [string, ReservationCommand][]): ReservationState {
  let state = noReservation;
  for (const [host, command] of commands) {
    const outcome = decideReservation(state, host, command, limits);
    expect(outcome.status, `${host} ${command.kind}`).toBe(0);
    state = outcome.state;
  }
  return state;
}
const decide = (state: ReservationState, host: string, command: ReservationCommand) =>
  decideReservation(state, host, command, limits);
const keys = ({ registrants }: ReservationState) =>
  Object.fromEntries(registrants.map(({ hostid, rkey }) => [hostid[0], Number(rkey)]));
const registered = after([A, register(1n)], [B, register(2n)], [C, register(3n)]);

describe('register', () => {
  test('adds a host with a key that is not 0, and counts', () => {
    expect(keys(registered)).toEqual({ a: 1, b: 2, c: 3 });
    expect(registered.generation).toBe(3);
    expect(decide(noReservation, A, register(0n)).status).toBe(INVALID_FIELD);
    expect(decide(registered, A, register(1n))).toMatchObject({ status: 0, state: { generation: 4 } });
    expect(decide(registered, A, register(9n))).toMatchObject({ status: CONFLICT, state: registered });
  });

  test('ends at the limit', () => {
    const full = { max_registrants: 3, persists: true };
    expect(decideReservation(registered, 'd'.repeat(32), register(4n), full)).toMatchObject({
      ...{ status: 0x4138, state: registered },
    });
    expect(decideReservation(registered, A, register(1n), full).status).toBe(0);
  });

  test('removes a host that knows its key, or need not', () => {
    expect(decide(registered, A, unregister(2n)).status).toBe(CONFLICT);
    expect(keys(decide(registered, A, unregister(1n)).state)).toEqual({ b: 2, c: 3 });
    expect(keys(decide(registered, A, unregister(9n, { iekey: true })).state)).toEqual({ b: 2, c: 3 });
    expect(decide(noReservation, A, unregister(1n)).status).toBe(CONFLICT);
    expect(decide(noReservation, A, unregister(1n, { iekey: true })).status).toBe(CONFLICT);
  });

  test('replaces a key, or adds one where the existing is ignored', () => {
    expect(keys(decide(registered, A, replace(1n, 7n)).state)).toEqual({ a: 7, b: 2, c: 3 });
    expect(decide(registered, A, replace(2n, 7n)).status).toBe(CONFLICT);
    expect(keys(decide(registered, A, replace(2n, 7n, { iekey: true })).state).a).toBe(7);
    expect(decide(registered, A, replace(1n, 0n)).status).toBe(INVALID_FIELD);
    expect(decide(noReservation, A, replace(0n, 7n)).status).toBe(CONFLICT);
    expect(keys(decide(noReservation, A, replace(0n, 7n, { iekey: true })).state)).toEqual({ a: 7 });
  });

  test('an action that is reserved', () => {
    expect(decide(registered, A, register(1n, { action: 3 })).status).toBe(INVALID_FIELD);
  });

  test('changes whether reservations persist, if the command succeeds', () => {
    const on = decide(noReservation, A, register(1n, { cptpl: 3 }));
    expect(on).toMatchObject({ status: 0, state: { ptpl: true } });
    expect(decide(on.state, A, register(1n, { cptpl: 0 })).state.ptpl).toBe(true);
    expect(decide(on.state, A, register(1n, { cptpl: 2 })).state.ptpl).toBe(false);
    expect(decide(on.state, A, register(9n, { cptpl: 2 })).state.ptpl).toBe(true);
    expect(decide(noReservation, A, register(1n, { cptpl: 1 })).status).toBe(INVALID_FIELD);
    const cannot = { ...limits, persists: false };
    expect(decideReservation(noReservation, A, register(1n, { cptpl: 3 }), cannot).status).toBe(
      INVALID_FIELD,
    );
    expect(decideReservation(noReservation, A, register(1n, { cptpl: 2 }), cannot).status).toBe(0);
    const persist = (ptpl: boolean): ReservationCommand => ({ kind: 'persist', ptpl });
    expect(decide(on.state, B, persist(false)).state.ptpl).toBe(false);
    expect(decideReservation(noReservation, A, persist(true), cannot).status).toBe(INVALID_FIELD);
  });

  test.each([1, 2])('a holder that unregisters releases type %i, and nobody is told', (rtype) => {
    const held = decide(registered, A, acquire(1n, rtype)).state;
    expect(decide(held, A, unregister(1n))).toMatchObject({
      ...{ state: { rtype: 0, holder: null }, notices: [] },
    });
  });

  test.each([3, 4])('a holder that unregisters releases type %i, and the others are told', (rtype) => {
    const held = decide(registered, A, acquire(1n, rtype)).state;
    expect(decide(held, A, unregister(1n))).toMatchObject({
      ...{ state: { rtype: 0, holder: null }, notices: [{ type: RELEASED, hostids: [B, C] }] },
    });
    expect(decide(held, B, unregister(2n)).state).toMatchObject({ rtype, holder: A });
  });

  test.each([5, 6])('the last registrant releases type %i', (rtype) => {
    let state = decide(registered, A, acquire(1n, rtype)).state;
    state = decide(state, A, unregister(1n)).state;
    expect([state.rtype, holds(state, A), holds(state, B)]).toEqual([rtype, false, true]);
    state = decide(decide(state, B, unregister(2n)).state, C, unregister(3n)).state;
    expect(state).toMatchObject({ rtype: 0, holder: null });
  });
});

describe('acquire', () => {
  test.each([1, 2, 3, 4, 5, 6])('type %i', (rtype) => {
    const { status, state } = decide(registered, A, acquire(1n, rtype));
    expect([status, state.rtype, state.generation]).toEqual([0, rtype, 3]);
    expect(decide(state, A, acquire(1n, rtype)), 'again').toMatchObject({ status: 0, state });
    expect(decide(state, A, acquire(1n, (rtype % 6) + 1)).status, 'another').toBe(CONFLICT);
    const all = rtype > 4;
    expect(decide(state, B, acquire(2n, rtype)).status).toBe(all ? 0 : CONFLICT);
    expect([holds(state, A), holds(state, B), holds(state, 'd'.repeat(32))]).toEqual([true, all, false]);
  });

  test('needs a registrant, its key, a type and no IEKEY', () => {
    expect(decide(noReservation, A, acquire(1n, 1)).status).toBe(CONFLICT);
    expect(decide(registered, A, acquire(2n, 1)).status).toBe(CONFLICT);
    for (const more of [{ rtype: 0 }, { rtype: 7 }, { iekey: true }, { action: 3 }])
      expect(decide(registered, A, acquire(1n, 1, more)).status).toBe(INVALID_FIELD);
  });
});

describe('preempt', () => {
  test('the holder: its key goes, its reservation passes on', () => {
    const held = decide(registered, A, acquire(1n, 1)).state;
    const outcome = decide(held, B, preempt(2n, 4, 1n));
    expect(outcome).toMatchObject({ status: 0, state: { rtype: 4, holder: B, generation: 4 }, aborts: [] });
    expect(keys(outcome.state)).toEqual({ b: 2, c: 3 });
    expect(outcome.notices).toEqual([{ type: PREEMPTED_REGISTRATION, hostids: [A] }]);
    expect(decide(held, B, preempt(2n, 4, 1n, { action: 2 })).aborts).toEqual([A]);
  });

  test('the holder of a type for registrants: those that stay are told that it is released', () => {
    const held = decide(registered, A, acquire(1n, 3)).state;
    expect(decide(held, B, preempt(2n, 1, 1n)).notices).toEqual([
      { type: RELEASED, hostids: [C] },
      { type: PREEMPTED_REGISTRATION, hostids: [A] },
    ]);
    expect(decide(held, B, preempt(2n, 3, 1n)).notices, 'the type stays').toEqual([
      { type: PREEMPTED_REGISTRATION, hostids: [A] },
    ]);
  });

  test('another registrant: the reservation stays', () => {
    const held = decide(registered, A, acquire(1n, 1)).state;
    const outcome = decide(held, A, preempt(1n, 2, 3n));
    expect(outcome.state).toMatchObject({ rtype: 1, holder: A });
    expect(keys(outcome.state)).toEqual({ a: 1, b: 2 });
  });

  test('itself: the type changes, other hosts with the key go', () => {
    const shared = after([A, register(1n)], [B, register(1n)], [C, register(3n)], [A, acquire(1n, 3)]);
    const outcome = decide(shared, A, preempt(1n, 2, 1n));
    expect(outcome.state).toMatchObject({ rtype: 2, holder: A });
    expect(keys(outcome.state)).toEqual({ a: 1, c: 3 });
    expect(outcome.notices).toEqual([
      { type: RELEASED, hostids: [C] },
      { type: PREEMPTED_REGISTRATION, hostids: [B] },
    ]);
  });

  test('all others of a type for all registrants, with key 0', () => {
    const held = decide(registered, A, acquire(1n, 6)).state;
    const outcome = decide(held, B, preempt(2n, 1, 0n, { action: 2 }));
    expect(outcome.state).toMatchObject({ rtype: 1, holder: B });
    expect([keys(outcome.state), outcome.aborts]).toEqual([{ b: 2 }, [A, C]]);
  });

  test('one of a type for all registrants: the reservation stays, until nobody is left', () => {
    const held = after([A, register(1n)], [A, acquire(1n, 5)]);
    const two = decide(held, B, register(2n)).state;
    expect(decide(two, B, preempt(2n, 1, 1n)).state).toMatchObject({ rtype: 5, holder: B });
    expect(decide(held, A, preempt(1n, 1, 1n)).state).toMatchObject({ rtype: 0, registrants: [] });
  });

  test('nobody', () => {
    expect(decide(registered, A, preempt(1n, 1, 9n)).status).toBe(CONFLICT);
    expect(decide(registered, A, preempt(1n, 1, 0n)).status).toBe(CONFLICT);
    const held = decide(registered, A, acquire(1n, 1)).state;
    expect(decide(held, A, preempt(1n, 1, 9n)).status).toBe(CONFLICT);
    expect(decide(held, A, preempt(1n, 1, 0n)).status).toBe(INVALID_FIELD);
  });

  test('where nothing is reserved, registrations only', () => {
    const outcome = decide(registered, A, preempt(1n, 1, 2n));
    expect(outcome.state).toMatchObject({ rtype: 0, holder: null });
    expect(keys(outcome.state)).toEqual({ a: 1, c: 3 });
  });
});

describe('release', () => {
  test.each([1, 2, 3, 4, 5, 6])('type %i', (rtype) => {
    const held = decide(registered, A, acquire(1n, rtype)).state;
    const { status, state, notices } = decide(held, A, release(1n, rtype));
    expect([status, state.rtype, state.generation, keys(state)]).toEqual([0, 0, 3, { a: 1, b: 2, c: 3 }]);
    expect(notices).toEqual(rtype > 2 ? [{ type: RELEASED, hostids: [B, C] }] : []);
    expect(decide(held, A, release(1n, (rtype % 6) + 1)).status).toBe(INVALID_FIELD);
    if (rtype < 5) expect(decide(held, B, release(2n, rtype))).toMatchObject({ status: 0, state: held });
  });

  test('needs a registrant, its key and no IEKEY; without a reservation nothing happens', () => {
    expect(decide(noReservation, A, release(1n, 1)).status).toBe(CONFLICT);
    expect(decide(registered, A, release(2n, 1)).status).toBe(CONFLICT);
    expect(decide(registered, A, release(1n, 1))).toMatchObject({ status: 0, state: registered });
    expect(decide(registered, A, release(1n, 1, { iekey: true })).status).toBe(INVALID_FIELD);
    expect(decide(registered, A, release(1n, 1, { action: 2 })).status).toBe(INVALID_FIELD);
  });

  test('clear takes all registrations', () => {
    const held = decide(registered, A, acquire(1n, 2)).state;
    const { state, notices } = decide(held, B, clear(2n));
    expect(state).toMatchObject({ rtype: 0, holder: null, registrants: [], generation: 4 });
    expect(notices).toEqual([{ type: PREEMPTED_RESERVATION, hostids: [A, C] }]);
  });
});

test('what the types refuse, and whom they let', () => {
  const access = [1, 2, 3, 4, 5, 6].map((rtype) => accessOf(decide(registered, A, acquire(1n, rtype)).state));
  expect(access).toEqual([
    { refuses: 1, exempt: [A] },
    { refuses: 2, exempt: [A] },
    { refuses: 1, exempt: [A, B, C] },
    { refuses: 2, exempt: [A, B, C] },
    { refuses: 1, exempt: [A, B, C] },
    { refuses: 2, exempt: [A, B, C] },
  ]);
  expect(accessOf(registered)).toEqual({ refuses: 0, exempt: [] });
});

test('whatever hosts do, a reservation has a registrant that holds it', () => {
  const key = fc.constantFrom(0n, 1n, 2n, 2n ** 64n - 1n);
  const small = fc.integer({ min: 0, max: 3 });
  const bool = fc.boolean();
  const rtype = fc.integer({ min: 0, max: 7 });
  const command: fc.Arbitrary<ReservationCommand> = fc.oneof(
    fc.record({
      ...{ kind: fc.constant('register' as const), action: small, iekey: bool, cptpl: small },
      ...{ crkey: key, nrkey: key },
    }),
    fc.record({
      ...{ kind: fc.constant('acquire' as const), action: small, iekey: fc.constant(false), rtype },
      ...{ crkey: key, prkey: key },
    }),
    fc.record({
      ...{ kind: fc.constant('release' as const), action: small, iekey: fc.constant(false), rtype },
      crkey: key,
    }),
  );
  const step = fc.tuple(fc.constantFrom(A, B, C), command);
  const check = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    let state = noReservation;
    for (const [host, what] of steps) {
      const outcome = decide(state, host, what);
      const hosts = outcome.state.registrants.map(({ hostid }) => hostid);
      expect(new Set(hosts).size).toBe(hosts.length);
      expect(outcome.state.registrants.every(({ rkey }) => rkey !== 0n)).toBe(true);
      if (outcome.status !== 0) expect(outcome.state).toBe(state);
      if (outcome.state.rtype === 0) expect(outcome.state.holder).toBe(null);
      else expect(hosts).toContain(outcome.state.holder);
      for (const { hostids } of outcome.notices) expect(hostids).not.toContain(host);
      expect(outcome.aborts).not.toContain(host);
      for (const gone of outcome.aborts) expect(hosts).not.toContain(gone);
      state = outcome.state;
    }
  });
  fc.assert(check, { numRuns: 300 });
});
