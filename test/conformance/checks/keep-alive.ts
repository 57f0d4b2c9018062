/** The keep alive timer (Base 2.0, 3.9; feature 0Fh, 5.27.1.12): when it ends an association, and when not. */
import { adminOpcode, ctratt, fid } from '@spdk-ts/nvme-spec';
import { getFeature, setFeature } from '../admin.ts';
import {
  all,
  type Check,
  tcpCheck as check,
  holds,
  type Outcome,
  of,
  type Row,
  succeeded,
  type Unless,
} from '../check.ts';
import type { Facts } from '../facts.ts';
import { ranged } from '../io.ts';
import type { TcpBench as Bench } from '../tcp-bench.ts';

/** Longest timeout that a check waits for. */
const WAIT_MAX_MS = 12_000;

/** The timeout of the checks: the least that is granted, and at least two seconds. */
const katoOf = ({ kato_ms }: Facts): number => Math.max(kato_ms, 2000);
const needs: Unless = (facts) =>
  facts.kato_ms === 0
    ? 'the timeout cannot be set'
    : katoOf(facts) > WAIT_MAX_MS
      ? `the least timeout is ${facts.kato_ms} ms`
      : '';
const row = (id: string, title: string, unless: Unless = needs): Row => ({
  ...{ id: `kato.${id}`, section: 'Base 2.0, 3.9', title, unless, seconds: 60, waits: true },
});
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Time until both queues have ended, in ms, from when the last command was sent; -1: they do not. */
async function silence(
  bench: Bench,
  before: (send: () => Promise<Outcome>) => Promise<Outcome>,
): Promise<{ ms: number; first: Outcome }> {
  const kato = katoOf(bench.facts);
  const { host, queue } = await bench.pair({ katoMs: kato });
  let last = performance.now();
  const first = await before(async () => {
    last = performance.now();
    return succeeded(await host.admin.submit({ opcode: adminOpcode.keepAlive, psdt: 1 }));
  });
  const limit = last + 2 * kato + 2000;
  while (performance.now() < limit && !(host.admin.stream.ended && queue.stream.ended)) await pause(10);
  const ended = host.admin.stream.ended && queue.stream.ended;
  return { ms: ended ? performance.now() - last : -1, first };
}

const seconds = (ms: number): string => (ms < 0 ? 'they go on' : `${(ms / 1000).toFixed(1)} s`);

export const keepAliveChecks: readonly Check[] = [
  check(
    row('expiry', 'A host that is silent after one Keep Alive'),
    'both queues end, no earlier than KATO after it, and within a second of that (and the granularity, KAS)',
    async (bench) => {
      const kato = katoOf(bench.facts);
      const { ms, first } = await silence(bench, (send) => send());
      const late = kato + Math.max(1000, bench.facts.controller.kas * 100);
      return all(first, of(`KATO ${kato / 1000} s`, holds(ms >= kato - 20 && ms <= late, seconds(ms))));
    },
  ),
  check(
    row('restarted', 'A host that sends Keep Alive every half of KATO, for two of it, and is silent then'),
    'the queues live on meanwhile, and end behind the last',
    async (bench) => {
      const kato = katoOf(bench.facts);
      const { ms, first } = await silence(bench, async (send) => {
        const outcomes: Outcome[] = [];
        for (let i = 0; i < 4; i++) {
          outcomes.push(await send());
          await pause(kato / 2);
        }
        return all(...outcomes, await send());
      });
      return all(first, holds(ms >= kato - 20, seconds(ms)));
    },
  ),
  check(
    row('traffic', 'A host that reads all the time, and sends no Keep Alive'),
    'the association goes on where there is Traffic Based Keep Alive (CTRATT bit 6), else it ends',
    async (bench) => {
      const kato = katoOf(bench.facts);
      const { host, queue } = await bench.pair({ katoMs: kato });
      const end = performance.now() + 2 * kato + 2000;
      while (performance.now() < end && !queue.stream.ended) {
        await ranged.read(queue, bench).catch(() => null);
        await pause(100);
      }
      const based = (bench.facts.controller.ctratt & ctratt.trafficBasedKeepAlive) !== 0;
      const goesOn = !queue.stream.ended && !host.admin.stream.ended;
      return holds(goesOn === based, `${goesOn ? 'goes on' : 'ends'}, Traffic Based Keep Alive: ${based}`);
    },
  ),
  check(
    row('off', 'A host that connects with KATO 0, and is silent', (facts) => needs(facts)),
    'the queues live on',
    async (bench) => {
      const { host, queue } = await bench.pair({ katoMs: 0 });
      await pause(2 * katoOf(bench.facts));
      const done = await ranged.read(queue, bench);
      return all(succeeded(done), holds(!host.admin.stream.ended, 'the admin queue lives'));
    },
  ),
  check(
    row('set', 'Set Features of KEEP ALIVE TIMER'),
    'what is granted is as long or longer, and is told; the timer runs on it',
    async (bench) => {
      const { host } = await bench.pair();
      const kato = katoOf(bench.facts);
      const set = await setFeature(host.admin, fid.keepAliveTimer, { cdw11: kato });
      const last = performance.now();
      const got = await getFeature(host.admin, fid.keepAliveTimer);
      while (performance.now() < last + 2 * kato + 2000 && !host.admin.stream.ended) await pause(10);
      const ms = host.admin.stream.ended ? performance.now() - last : -1;
      return all(
        succeeded(set),
        succeeded(got),
        holds(got.dw0 >= kato, `${got.dw0} ms`),
        holds(ms >= kato - 20, seconds(ms)),
      );
    },
  ),
];
