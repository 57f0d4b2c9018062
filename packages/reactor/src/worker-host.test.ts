import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setLogWriter } from '@spdk-ts/log';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// Workers run built JavaScript: the host comes from the build too.
import { WorkerHost } from '../lib/index.js';

let directory: string;
let plugin: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'reactor-'));
  const file = join(directory, 'plugin.mjs');
  writeFileSync(
    file,
    `export default {
      name: 'probe',
      start(reactor) {
        let received = 0;
        reactor.onMessage(200, (m) => { received += m[1]; });
        return {
          send: ({ to, value }) => reactor.sendMessage(to, 200, value),
          received: () => received,
          ask: (text) => reactor.control.call('main', 'echo', text),
          fail: () => { const e = new Error('no such thing'); e.code = -19; throw e; },
          crash: () => { reactor.threads[0]?.send(() => { throw new Error('boom'); }); },
          block: (ms) => { const end = Date.now() + ms; while (Date.now() < end); },
        };
      },
    };`,
  );
  plugin = pathToFileURL(file).href;
});
afterAll(() => rm(directory, { recursive: true }));

async function until(what: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await what()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('it did not happen within 4 s');
}

describe.each(['adaptive', 'poll', 'interrupt'] as const)('workers in %s mode', (mode) => {
  it('call and are called, send each other messages while asleep, and end', async () => {
    const host = await WorkerHost.start({ cores: [0, 1, 7], mode, plugins: [plugin] });
    host.provide('main', { echo: (text: string, reactor: number) => `${text} from ${reactor}` });
    expect(await host.broadcast('probe', 'ask', 'hello')).toEqual([0, 1, 2].map((i) => `hello from ${i}`));
    await expect(host.call(1, 'probe', 'fail')).rejects.toMatchObject({
      code: -19,
      message: 'no such thing',
    });
    await expect(host.call(0, 'probe', 'nothing')).rejects.toThrow('no method nothing');
    await new Promise((resolve) => setTimeout(resolve, 50)); // adaptive reactors sleep by now
    await host.call(0, 'probe', 'send', { to: 2, value: 5 });
    await host.call(1, 'probe', 'send', { to: 2, value: 6 });
    await host.call(2, 'probe', 'send', { to: 2, value: 7 });
    await until(async () => (await host.call(2, 'probe', 'received')) === 18);
    const stats = (await host.broadcast('reactor', 'stats')) as { lcore: number; tid: number }[];
    expect(stats.map((s) => s.lcore)).toEqual([0, 1, 7]);
    expect(new Set(stats.map((s) => s.tid)).size).toBe(3);
    expect((await host.broadcast('reactor', 'threadStats')).flat()).toMatchObject([
      { name: 'app_thread', id: 1 },
    ]);
    await host.stop();
    await expect(host.call(0, 'probe', 'received')).rejects.toThrow('has ended');
  });

  it('start one more plugin while they run, once, and say which cannot be loaded', async () => {
    const host = await WorkerHost.start({ cores: [0, 1], mode, plugins: [] });
    try {
      await new Promise((resolve) => setTimeout(resolve, 50)); // adaptive reactors sleep by now
      await expect(host.broadcast('probe', 'received')).rejects.toThrow('no service probe');
      await host.load(plugin);
      expect(await host.broadcast('probe', 'received')).toEqual([0, 0]);
      await expect(host.load(plugin)).rejects.toThrow('two plugins are called probe');
      const missing = `${plugin}.missing`;
      await expect(host.load(missing)).rejects.toThrow(`${missing} cannot be loaded`);
      expect(await host.broadcast('probe', 'received')).toEqual([0, 0]);
    } finally {
      await host.stop();
    }
  });
});

describe('failure', () => {
  it('of a reactor is fatal, with its stack', async () => {
    let report: { error: Error; reactor: number } | undefined;
    const host = await WorkerHost.start({
      cores: [0],
      plugins: [plugin],
      onFatal: (error, reactor) => {
        report ??= { error, reactor };
      },
    });
    await host.call(0, 'probe', 'crash').catch(() => {}); // it may die before it answers
    await until(() => report !== undefined);
    expect(report!.reactor).toBe(0);
    expect(report!.error.stack).toMatch(/boom[\s\S]*plugin\.mjs/);
    await host.stop().catch(() => {});
  });

  it('of a reactor to poll for a second is reported', async () => {
    const lines: string[] = [];
    const log = await import('@spdk-ts/log');
    const before = log.setLogWriter((line) => void lines.push(line));
    const host = await WorkerHost.start({ cores: [0], plugins: [plugin] });
    await host.call(0, 'probe', 'block', 3500);
    await until(() => lines.some((line) => line.includes('polls again')) || lines.length > 5);
    expect(lines[0]).toContain('reactor 0 (core 0) has not polled for over a second');
    await host.stop();
    setLogWriter(before);
  });
});
