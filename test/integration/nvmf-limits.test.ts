// Limits of a whole target: what a host gets that is one too many, or too slow, and what the counters say.
import { connect, type Socket } from 'node:net';
import { Random } from '@spdk-ts/env';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, type Json } from '../linux-guest/target.ts';
import { TcpTarget } from './nvmf-tcp-target.ts';

let target: TcpTarget;
const sockets: Socket[] = [];
beforeAll(async () => {
  target = await TcpTarget.start();
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await target?.stop();
});

const set = (limits: object): Promise<Json> => target.target.rpc('spdk_ts_nvmf_set_limits', limits);
const get = (): Promise<Json> => target.target.rpc('spdk_ts_nvmf_get_limits');
const limit = async (name: string): Promise<Json> =>
  (await get()).limits.find((line: Json) => line.name === name);

/** A connection that says `bytes`, and whether the target has ended it. */
function silent(bytes = Buffer.alloc(0)): { ended: boolean } {
  const socket = connect(target.port, '127.0.0.1');
  const state = { ended: false };
  socket.on('error', () => {});
  socket.on('close', () => {
    state.ended = true;
  });
  socket.resume();
  if (bytes.length > 0) socket.write(bytes);
  sockets.push(socket);
  return state;
}

it('a connection that says nothing, or half an ICReq, is dropped, and others are not', async () => {
  const host = await target.host();
  await set({ icreq_timeout_ms: 500 });
  const before = (await get()).dropped_connections;
  const icReq = Buffer.from([0, 0, 128, 0, 128, 0, 0, 0]);
  const states = [silent(), silent(icReq.subarray(0, 3)), silent(icReq)];
  await eventually(20, 'all are dropped', () => states.every(({ ended }) => ended));
  expect((await get()).dropped_connections).toBe(before + 3);
  expect(await limit('pending_connections')).toMatchObject({ current: 0 });
  expect(await limit('connections')).toMatchObject({ current: 2 });
  expect((await host.identify(1)).length).toBe(4096);
  host.close();
  await set({ icreq_timeout_ms: 10_000 });
});

it('connections beyond the limits are closed at once, and served again when others have gone', async () => {
  await eventually(20, 'nobody is there', async () => (await limit('connections')).current === 0);
  await set({ connections: 3, pending_connections: 2 });
  const first = [silent(), silent()];
  await eventually(20, 'two wait', async () => (await limit('pending_connections')).current === 2);
  const third = silent();
  await eventually(20, 'the third is closed', () => third.ended);
  expect(await limit('pending_connections')).toMatchObject({ limit: 2, current: 2, refused: 1 });
  await expect(target.host()).rejects.toThrow();
  for (const socket of sockets.splice(0)) socket.destroy();
  await eventually(20, 'they are gone', async () => (await limit('connections')).current === 0);
  expect(first.length).toBe(2);
  // An admin queue and two I/O queues; there is no room for a third.
  const host = await target.host(2);
  await expect(host.openQueues(1)).rejects.toThrow();
  expect(await limit('connections')).toMatchObject({ limit: 3, current: 3, refused: 1 });
  host.close();
  await set({ connections: 8192, pending_connections: 1024 });
  await eventually(20, 'they are gone', async () => (await limit('connections')).current === 0);
  await target.expectService();
});

it('commands beyond a queue’s depth of Asynchronous Event Requests are refused, and the answer is told', async () => {
  await set({ async_events: 3 });
  const host = await target.host();
  for (let i = 0; i < 3; i++) host.admin.submit({ opcode: 0x0c, psdt: 1 }).catch(() => {});
  const { status } = await host.admin.submit({ opcode: 0x0c, psdt: 1 });
  expect(status & 0x7ff, 'Asynchronous Event Request Limit Exceeded').toBe(0x105);
  expect(await limit('async_events')).toMatchObject({ limit: 3, current: 3 });
  host.close();
  await set({ async_events: 4 });
});

const seed = Number(process.env['NVMF_LIMITS_SEED'] ?? Date.now() % 1_000_000);
it(`limits that change while hosts come and go leave no counter behind (NVMF_LIMITS_SEED=${seed})`, async () => {
  const random = new Random(seed);
  let served = 0;
  for (let i = 0; i < 40; i++) {
    await set({ connections: 1 + random.below(6), controllers: 1 + random.below(3) });
    const hosts = await Promise.all([0, 1, 2].map(() => target.host(1 + random.below(2)).catch(() => null)));
    for (const host of hosts) if (host !== null) served++;
    for (const host of hosts) host?.close();
  }
  await set({ connections: 8192, controllers: 4096 });
  await eventually(20, 'all counters are zero', async () => {
    const { limits } = await get();
    const left = limits.filter(
      ({ name, current }: Json) => current > 0 && !['subsystems', 'listeners', 'namespaces'].includes(name),
    );
    if (left.length > 0) throw new Error(JSON.stringify(left));
    return true;
  });
  expect(served).toBeGreaterThan(0);
  await target.expectService();
});
