/** Reservations of two hosts (Base 2.0, 7.2 to 7.5 and 8.19), where the controller has them. */
import { nvmOpcode, oncs } from '@spdk-ts/nvme-spec';
import type { CommandQueue, Completion } from '../../host/index.ts';
import type { Bench } from '../bench.ts';
import {
  all,
  answers,
  type Check,
  check,
  hasStatus,
  holds,
  of,
  type Row,
  succeeded,
  type Unless,
} from '../check.ts';
import { generic } from '../codes.ts';
import { ranged } from '../io.ts';

const needs: Unless = ({ controller, ns, transport }) => {
  // The host that writes beside the checks is one of theirs over TCP.
  if (transport === 'PCI') return 'each PCI function has a host identifier of its own, the witness too';
  return controller.oncs & oncs.reservations && ns.data.rescap !== 0
    ? ''
    : 'reservations are not supported (ONCS bit 5, RESCAP)';
};
const row = (id: string, section: string, title: string, unless: Unless = needs): Row => ({
  ...{ id: `reservation.${id}`, section: `Base 2.0, ${section}`, title, unless },
});

const register = { register: 0, unregister: 1, replace: 2 } as const;
const acquire = { acquire: 0, preempt: 1 } as const;
const release = { release: 0, clear: 1 } as const;
const IGNORE_KEY = 8;
const OTHER_HOST = 'nqn.2014-08.org.nvmexpress:uuid:5a0f0b52-6f1e-4f3e-9f0c-0123456789ab';
const MINE = 0x1111;
const THEIRS = 0x2222;

const keys = (...values: readonly number[]): Uint8Array => {
  const out = Buffer.alloc(8 * values.length);
  for (const [i, value] of values.entries()) out.writeUInt32LE(value, 8 * i);
  return out;
};

/** One host's commands. */
class Host {
  readonly queue: CommandQueue;
  private readonly nsid: number;

  constructor(bench: Bench, queue: CommandQueue) {
    this.queue = queue;
    this.nsid = bench.facts.ns.nsid;
  }
  private submit(opcode: number, cdw10: number, data: Uint8Array): Promise<Completion> {
    return this.queue.submit({ opcode, nsid: this.nsid, psdt: 1, cdw10 }, data);
  }
  register(what: number, current: number, next: number, ignore = false): Promise<Completion> {
    return this.submit(nvmOpcode.reservationRegister, what | (ignore ? IGNORE_KEY : 0), keys(current, next));
  }
  acquire(what: number, type: number, current: number, preempted = 0): Promise<Completion> {
    return this.submit(nvmOpcode.reservationAcquire, what | (type << 8), keys(current, preempted));
  }
  release(what: number, type: number, current: number): Promise<Completion> {
    return this.submit(nvmOpcode.reservationRelease, what | (type << 8), keys(current));
  }
  report(bytes = 4096, extended = 1): Promise<Completion> {
    const fields = {
      opcode: nvmOpcode.reservationReport,
      nsid: this.nsid,
      psdt: 1,
      cdw10: bytes / 4 - 1,
      cdw11: extended,
    };
    return this.queue.submitRead(fields, bytes);
  }
}

/** Two hosts, of which neither is registered. */
async function hosts(bench: Bench): Promise<{ mine: Host; theirs: Host }> {
  const mine = new Host(bench, (await bench.pair()).queue);
  const other = await bench.pair({ hostnqn: OTHER_HOST, hostid: new Uint8Array(16).fill(0x5a) });
  const theirs = new Host(bench, other.queue);
  // Whoever is registered from before may clear everything.
  await mine.register(register.register, 0, MINE, true);
  await mine.release(release.clear, 0, MINE);
  return { mine, theirs };
}

/** What a reservation of each type leaves to others: reads and writes of registrants, and of those who are not. */
const types = [
  { type: 1, bit: 0x02, name: 'Write Exclusive', registrant: [0, 1], stranger: [0, 1] },
  { type: 2, bit: 0x04, name: 'Exclusive Access', registrant: [1, 1], stranger: [1, 1] },
  { type: 3, bit: 0x08, name: 'Write Exclusive – Registrants Only', registrant: [0, 0], stranger: [0, 1] },
  { type: 4, bit: 0x10, name: 'Exclusive Access – Registrants Only', registrant: [0, 0], stranger: [1, 1] },
  { type: 5, bit: 0x20, name: 'Write Exclusive – All Registrants', registrant: [0, 0], stranger: [0, 1] },
  { type: 6, bit: 0x40, name: 'Exclusive Access – All Registrants', registrant: [0, 0], stranger: [1, 1] },
] as const;

const allowed = (conflict: number, done: Completion) =>
  conflict ? hasStatus(done, [generic.reservationConflict]) : succeeded(done);

const matrix = types.flatMap(({ type, bit, name, registrant, stranger }) =>
  [true, false].map((registered) => {
    const [reads, writes] = registered ? registrant : stranger;
    const who = registered ? 'another registrant' : 'a host that is not registered';
    const words = (conflict: number): string => (conflict ? 'Reservation Conflict' : 'success');
    return check(
      row(
        `type-${type}-${registered ? 'registrant' : 'stranger'}`,
        '8.19',
        `${name}: a read and a write of ${who}`,
        (facts) => needs(facts) || (facts.ns.data.rescap & bit ? '' : 'this type is not supported (RESCAP)'),
      ),
      `Read: ${words(reads)}; Write: ${words(writes)}`,
      async (bench) => {
        const { mine, theirs } = await hosts(bench);
        await mine.register(register.register, 0, MINE);
        if (registered) await theirs.register(register.register, 0, THEIRS);
        const taken = await mine.acquire(acquire.acquire, type, MINE);
        const outcomes = [
          of('Acquire', succeeded(taken)),
          of('Read', allowed(reads, await ranged.read(theirs.queue, bench))),
          of('Write', allowed(writes, await ranged.write(theirs.queue, bench))),
          of('the holder’s Write', succeeded(await ranged.write(mine.queue, bench))),
        ];
        await mine.release(release.clear, 0, MINE);
        return all(...outcomes);
      },
    );
  }),
);

const registrations = [
  check(
    row('register', '7.3', 'Register, Report, Unregister'),
    'one registrant with its key, then none',
    async (bench) => {
      const { mine } = await hosts(bench);
      const done = await mine.register(register.register, 0, MINE);
      const report = await mine.report();
      const gone = await mine.register(register.unregister, MINE, 0);
      const after = await mine.report();
      return all(
        of('Register', succeeded(done)),
        of('Report', succeeded(report)),
        holds(report.data.readUInt16LE(5) === 1, `${report.data.readUInt16LE(5)} registrants`),
        holds(
          report.data.readUInt32LE(64 + 8) === MINE,
          `key ${report.data.readUInt32LE(64 + 8).toString(16)}h`,
        ),
        of('Unregister', succeeded(gone)),
        holds(after.data.readUInt16LE(5) === 0, `${after.data.readUInt16LE(5)} registrants`),
      );
    },
  ),
  answers(
    row('register-again', '7.3', 'Register of a registrant with another key'),
    generic.reservationConflict,
    async (bench) => {
      const { mine } = await hosts(bench);
      await mine.register(register.register, 0, MINE);
      return mine.register(register.register, 0, THEIRS);
    },
  ),
  answers(
    row('replace-wrong', '7.3', 'Replace with a wrong current key'),
    generic.reservationConflict,
    async (bench) => {
      const { mine } = await hosts(bench);
      await mine.register(register.register, 0, MINE);
      return mine.register(register.replace, THEIRS, 0x3333);
    },
  ),
  answers(
    row('register-reserved', '7.3', 'Register with the reserved action 7'),
    generic.invalidField,
    async (bench) => (await hosts(bench)).mine.register(7, 0, MINE),
  ),
  answers(
    row('acquire-stranger', '7.2', 'Acquire of a host that is not registered'),
    generic.reservationConflict,
    async (bench) => (await hosts(bench)).theirs.acquire(acquire.acquire, 1, THEIRS),
  ),
  answers(
    row('acquire-type', '7.2', 'Acquire of the reserved type 7'),
    generic.invalidField,
    async (bench) => {
      const { mine } = await hosts(bench);
      await mine.register(register.register, 0, MINE);
      return mine.acquire(acquire.acquire, 7, MINE);
    },
  ),
  answers(
    row('acquire-held', '7.2', 'Acquire where another host holds the reservation'),
    generic.reservationConflict,
    async (bench) => {
      const { mine, theirs } = await hosts(bench);
      await mine.register(register.register, 0, MINE);
      await theirs.register(register.register, 0, THEIRS);
      await mine.acquire(acquire.acquire, 1, MINE);
      return theirs.acquire(acquire.acquire, 1, THEIRS);
    },
  ),
  check(
    row('preempt', '7.2', 'Preempt of the holder'),
    'success; the other host holds it, the first is no registrant any more',
    async (bench) => {
      const { mine, theirs } = await hosts(bench);
      await mine.register(register.register, 0, MINE);
      await theirs.register(register.register, 0, THEIRS);
      await mine.acquire(acquire.acquire, 1, MINE);
      const done = await theirs.acquire(acquire.preempt, 1, THEIRS, MINE);
      const written = await ranged.write(mine.queue, bench);
      const report = await theirs.report();
      await theirs.release(release.clear, 0, THEIRS);
      return all(
        succeeded(done),
        of('the first host’s Write', hasStatus(written, [generic.reservationConflict])),
        holds(report.data.readUInt16LE(5) === 1, `${report.data.readUInt16LE(5)} registrants`),
      );
    },
  ),
  check(
    row('release', '7.4', 'Release of the holder, then a write of another host'),
    'success',
    async (bench) => {
      const { mine, theirs } = await hosts(bench);
      await mine.register(register.register, 0, MINE);
      await mine.acquire(acquire.acquire, 2, MINE);
      const done = await mine.release(release.release, 2, MINE);
      return all(
        of('Release', succeeded(done)),
        of('Write', succeeded(await ranged.write(theirs.queue, bench))),
      );
    },
  ),
  answers(
    row('release-type', '7.4', 'Release with another type than what is held'),
    generic.invalidField,
    async (bench) => {
      const { mine } = await hosts(bench);
      await mine.register(register.register, 0, MINE);
      await mine.acquire(acquire.acquire, 1, MINE);
      return mine.release(release.release, 2, MINE);
    },
  ),
  answers(
    row('report-short', '7.5', 'Report without Extended Data Structure, of a host with a 128-bit identifier'),
    generic.hostIdInconsistentFormat,
    async (bench) => (await hosts(bench)).mine.report(4096, 0),
  ),
];

export const reservationChecks: readonly Check[] = [...registrations, ...matrix];
