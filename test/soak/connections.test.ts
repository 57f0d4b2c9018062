/** One target and a thousand connections. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Load, type RawHost } from '../host/index.ts';
import { TcpTarget } from '../integration/nvmf-tcp-target.ts';
import { soakSeed } from './duration.ts';

const CONTROLLERS = 8;
/** With the admin queue of each controller: 1000 connections. */
const QUEUES_EACH = 124;
const BUSY = 256;
const ROUNDS = 20;

let target: TcpTarget;
const hosts: RawHost[] = [];

beforeAll(async () => {
  target = await TcpTarget.start();
});
afterAll(async () => {
  for (const host of hosts) host.close();
  await target?.stop();
});

it('serves 1000 connections, 256 of them busy', async () => {
  const seed = soakSeed;
  console.log(`LOAD_SEED=${seed}`);
  hosts.push(...(await Promise.all(Array.from({ length: CONTROLLERS }, () => target.host(QUEUES_EACH)))));
  const stats = await target.target.rpc('nvmf_get_stats');
  const sum = (name: string): number =>
    stats.poll_groups.reduce((total: number, group: Record<string, number>) => total + group[name]!, 0);
  expect(sum('current_admin_qpairs') + sum('current_io_qpairs')).toBe(1000);
  const queues = hosts.flatMap((host) => host.queues);
  // Every fourth, so that all controllers and reactors have their share.
  const busy = Array.from({ length: BUSY }, (_, i) => queues[Math.floor((i * queues.length) / BUSY)]!);
  const load = new Load(busy, { depth: 4, bytes_max: 8192, seed });
  load.start();
  await load.until(() => load.verifiedOf.every((count) => count >= ROUNDS));
  await load.stop();
  // The idle ones are alive too.
  const rest = new Load(queues, { depth: 1, bytes_max: 4096, seed });
  rest.start();
  await rest.until(() => rest.verifiedOf.every((count) => count >= 1));
  await rest.stop();
  expect(target.target.running).toBe(true);
});

it('lets them all go, and its descriptors with them', async () => {
  const before = target.descriptors;
  expect(before).toBeGreaterThan(1000);
  for (const host of hosts.splice(0)) host.close();
  while (target.descriptors > before - 1000) await new Promise((resolve) => setTimeout(resolve, 50));
  await target.expectService();
});
