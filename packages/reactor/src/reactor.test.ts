import { ManualClock, MessageRing, TICKS_PER_MS, TICKS_PER_US } from '@spdk-ts/env';
import { describe, expect, it } from 'vitest';
import { IoDevice, LocalHost, type ReactorPlugin, type Thread } from './index.ts';

const idle: ReactorPlugin = { name: 'idle', start: () => ({}) };

async function local(count = 1): Promise<{ host: LocalHost; clock: ManualClock; thread: Thread }> {
  const clock = new ManualClock();
  const host = await LocalHost.start({ count, clock, plugins: [idle] });
  return { host, clock, thread: host.local[0]!.threads[0]! };
}

describe('pollers', () => {
  it('runs active pollers at every iteration and timed ones when they are due', async () => {
    const { host, clock, thread } = await local();
    const calls = { active: 0, timed: 0 };
    thread.registerPoller('active', () => {
      calls.active++;
      return 0;
    });
    thread.registerPoller(
      'timed',
      () => {
        calls.timed++;
        return 1;
      },
      100,
    );
    for (let i = 0; i < 10; i++) {
      host.poll();
      clock.advance(50 * TICKS_PER_US);
    }
    expect(calls.active).toBe(10);
    // due at 100, 200, 300 and 400 µs; polled at 0, 50, … 450
    expect(calls.timed).toBe(4);
  });

  it('does not call a paused or unregistered poller, and lets a poller end itself', async () => {
    const { host, thread } = await local();
    let paused = 0;
    let once = 0;
    const a = thread.registerPoller('a', () => ++paused);
    const b = thread.registerPoller('b', () => {
      b.unregister();
      return ++once;
    });
    a.pause();
    for (let i = 0; i < 3; i++) host.poll();
    expect([paused, once]).toEqual([0, 1]);
    a.resume();
    host.poll();
    expect(paused).toBe(1);
    expect(b.state).toBe('unregistered');
  });

  it('charges elapsed time to the threads that were busy', async () => {
    const { host, clock, thread } = await local();
    const other = host.local[0]!.createThread('other');
    let busy = 1;
    thread.registerPoller('p', () => busy);
    host.poll();
    clock.advance(700);
    host.poll();
    busy = 0;
    clock.advance(300);
    host.poll();
    clock.advance(50);
    host.poll();
    expect([thread.busy_ticks, thread.idle_ticks]).toEqual([1000, 50]);
    expect([other.busy_ticks, other.idle_ticks]).toEqual([0, 1050]);
    expect([host.local[0]!.busy_ticks, host.local[0]!.idle_ticks]).toEqual([1000, 50]);
  });
});

describe('messages', () => {
  it('takes at most eight thread messages in an iteration, in order', async () => {
    const { host, thread } = await local();
    const seen: number[] = [];
    for (let i = 0; i < 20; i++) thread.send(() => void seen.push(i));
    host.poll();
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    host.poll();
    host.poll();
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  it('carries numbers between reactors in order, beyond the capacity of the ring', async () => {
    const { host } = await local(2);
    const seen: number[] = [];
    host.local[1]!.onMessage(9, (message, from) => void seen.push(from, message[1]!, message[7]!));
    const count = 1000;
    for (let i = 0; i < count; i++) host.local[0]!.sendMessage(1, 9, i, 0, 0, 0, 0, 0, -i);
    for (let i = 0; i < 100; i++) host.poll();
    expect(seen).toEqual(Array.from({ length: count }, (_, i) => [0, i, -i]).flat());
  });

  it('refuses what does not fit a ring and says so', () => {
    expect(() => MessageRing.allocate(100)).toThrow('100 is not a power of two');
    const ring = new MessageRing(MessageRing.allocate(4));
    expect([1, 2, 3, 4, 5].map((kind) => ring.push(kind))).toEqual([true, true, true, true, false]);
    const message = new Float64Array(8);
    expect(ring.pop(message) && message[0]).toBe(1);
    expect(ring.push(5)).toBe(true);
  });
});

describe('channels', () => {
  it('makes one channel a thread, counts references and destroys it with the last', async () => {
    const { thread } = await local();
    const log: string[] = [];
    const device = new IoDevice(
      'd',
      () => log.push('create'),
      () => log.push('destroy'),
    );
    const a = thread.getIoChannel(device);
    const b = thread.getIoChannel(device);
    expect(a).toBe(b);
    expect(a.ref).toBe(2);
    let unused = false;
    device.unregister(() => {
      unused = true;
    });
    expect(() => thread.getIoChannel(device)).toThrow('being unregistered');
    a.put();
    expect([log, unused]).toEqual([['create'], false]);
    b.put();
    expect([log, unused]).toEqual([['create', 'destroy'], true]);
    expect(() => b.put()).toThrow('more often');
  });
});

describe('thread exit', () => {
  it('waits for pollers, messages and channels', async () => {
    const { host, clock, thread } = await local();
    const device = new IoDevice(
      'd',
      () => 0,
      () => {},
    );
    const channel = thread.getIoChannel(device);
    const poller = thread.registerPoller('p', () => 0, 1000);
    let done = false;
    thread.exit(() => {
      done = true;
    });
    host.poll();
    poller.unregister();
    host.poll();
    expect(done).toBe(false);
    channel.put();
    clock.advance(TICKS_PER_MS);
    host.poll();
    expect(done).toBe(true);
    expect(host.local[0]!.threads).toEqual([]);
  });
});

describe('sleepers', () => {
  it('are all armed before a sleep, or none if one has work', async () => {
    const { host } = await local();
    const reactor = host.local[0]!;
    const calls: string[] = [];
    const sleeper = (name: string, work: () => boolean) => ({
      armSleep() {
        calls.push(`arm ${name}`);
        return work();
      },
      disarmSleep: () => void calls.push(`disarm ${name}`),
    });
    let busy = true;
    const first = sleeper('first', () => false);
    const second = sleeper('second', () => busy);
    reactor.addSleeper(first);
    reactor.addSleeper(second);
    expect(reactor.armSleepers()).toBe(true);
    expect(calls).toEqual(['arm first', 'arm second', 'disarm first', 'disarm second']);
    busy = false;
    expect(reactor.armSleepers()).toBe(false);
    expect(calls.slice(4)).toEqual(['arm first', 'arm second']);
    reactor.removeSleeper(first);
    reactor.disarmSleepers();
    expect(calls.slice(6)).toEqual(['disarm second']);
  });
});

describe('a plugin that is loaded late', () => {
  const late = (name: string): string =>
    `data:text/javascript,${encodeURIComponent(`export default { name: '${name}', start: () => ({ there: () => true }) };`)}`;

  it('starts on every reactor', async () => {
    const { host } = await local(2);
    await expect(host.broadcast('late', 'there')).rejects.toThrow('no service late');
    await host.load(late('late'));
    expect(await host.broadcast('late', 'there')).toEqual([true, true]);
    await expect(host.load(late('idle'))).rejects.toThrow('two plugins are called idle');
  });

  it('is not started on reactors that have begun to end', async () => {
    const { host } = await local();
    const refused = expect(host.load(late('tardy'))).rejects.toThrow('reactor 0 is ending');
    await host.stop();
    await refused;
    expect(host.local[0]!.services.has('tardy')).toBe(false);
  });
});
