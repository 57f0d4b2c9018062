import { identifyController } from '@spdk-ts/nvme-spec';
import { RpcServer } from '@spdk-ts/rpc';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ADDRESS, Harness, SUBSYSTEM } from '../test-support/harness.ts';
import { control, release } from '../test-support/memory-bdev.ts';
import { registerNvmfRpcs } from './control/rpc.ts';
import { defaultLimits } from './limits.ts';

let harness: Harness;
let rpc: RpcServer;
beforeEach(async () => {
  harness = await Harness.start(2);
  rpc = new RpcServer({ checkResults: true });
  registerNvmfRpcs(rpc, harness.target);
});
afterEach(async () => {
  release();
  await harness.stop();
});

// biome-ignore lint/suspicious/noExplicitAny: what a client would see
const call = (method: string, params?: object): Promise<any> => harness.done(rpc.call(method, params));
const set = (limits: object) => call('spdk_ts_nvmf_set_limits', limits);

async function limit(name: string) {
  const { limits } = await call('spdk_ts_nvmf_get_limits');
  return limits.find((entry: { name: string }) => entry.name === name);
}

test('every limit is shown with what there is', async () => {
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller, 1, 1);
  controller.admin.send({ opcode: 0x0c });
  control.hold = true;
  for (let i = 0; i < 3; i++) io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  await harness.turns();
  const shown = await call('spdk_ts_nvmf_get_limits');
  const line = (name: string, scope: string, most: unknown, current: unknown, refused?: number) => ({
    ...{ name, scope, limit: most, current },
    ...(refused !== undefined && { refused }),
  });
  expect(shown.limits).toEqual([
    // The test's transport has no connections to accept.
    line('connections', 'target', 8192, 0, 0),
    line('pending_connections', 'target', 1024, 0, 0),
    line('controllers', 'target', 4096, 1, 0),
    line('subsystems', 'target', 1024, 1),
    line('referrals', 'target', 256, 0),
    line('buffers', 'target', expect.any(Number), expect.any(Number)),
    line('hosts', 'subsystem', 1024, 0),
    line('listeners', 'subsystem', 16, 1),
    line('namespaces', 'subsystem', 32, 1),
    line('registrants', 'namespace', 16, 0),
    line('io_queues', 'controller', 127, 1),
    line('async_events', 'controller', 4, 1),
    line('commands', 'queue', 128, 3),
  ]);
  expect(shown).toMatchObject({
    waiting: { buffers: 0, bdev_io: 0 },
    ...{ icreq_timeout_ms: 10_000, connect_timeout_ms: 30_000, stall_timeout_ms: 30_000 },
    ...{ transfer_timeout_ms: 300_000, dropped_connections: 0 },
  });
  control.hold = false;
  release();
  controller.admin.disconnect('test');
  await harness.turns();
  for (const name of ['controllers', 'io_queues', 'async_events', 'commands', 'buffers'])
    expect((await limit(name)).current, name).toBe(0);
});

test.each([
  [{ connections: 0 }, /connections is 0: give at least 1/],
  [{ async_events: 257 }, /async_events is 257: give at most 256/],
])('limits that cannot be are refused: %j', async (limits, message) => {
  await expect(set(limits)).rejects.toMatchObject({ code: -32602, message: expect.stringMatching(message) });
  expect(harness.target.limits).toEqual(defaultLimits);
});

test('one controller more than there may be is told Controller Busy', async () => {
  await set({ controllers: 2 });
  await harness.controller();
  const second = await harness.controller({}, 1);
  expect((await harness.connect(0)).completion.status, 'Controller Busy').toBe(0x181);
  expect(await limit('controllers')).toMatchObject({ limit: 2, current: 2, refused: 1 });
  second.admin.disconnect('test');
  await harness.turns();
  expect((await harness.connect(0)).completion.status).toBe(0);
});

test('Asynchronous Event Requests: the limit is what Identify says', async () => {
  await set({ async_events: 2 });
  const { admin } = await harness.controller();
  expect(identifyController.decode((await harness.identify(admin, 1)).data).aerl, "0's based").toBe(1);
  const cids = [0, 1].map(() => admin.send({ opcode: 0x0c }));
  expect((await harness.command(admin, { opcode: 0x0c })).status).toBe(0x105);
  expect((await harness.command(admin, { opcode: 8, cdw10: cids[0]! << 16 })).dw0 & 1).toBe(0);
  expect((await harness.completion(admin, cids[0]!)).status & 0x7ff).toBe(7);
  const again = admin.send({ opcode: 0x0c });
  await harness.turns();
  expect(admin.take(again), 'there is room again').toBeUndefined();
  expect(await limit('async_events')).toMatchObject({ limit: 2, current: 2 });
});

test('hosts and listeners of a subsystem', async () => {
  await set({ hosts: 1, listeners: 1 });
  const host = (name: string) => call('nvmf_subsystem_add_host', { nqn: SUBSYSTEM, host: name });
  await host('nqn.2014-08.org.nvmexpress:one');
  await expect(host('nqn.2014-08.org.nvmexpress:two')).rejects.toMatchObject({
    message: expect.stringMatching(/has 1 hosts; raise the limit with spdk_ts_nvmf_set_limits/),
  });
  const listen_address = { ...ADDRESS, trsvcid: '4421' };
  const listener = () => call('nvmf_subsystem_add_listener', { nqn: SUBSYSTEM, listen_address });
  await expect(listener()).rejects.toMatchObject({
    message: expect.stringMatching(/has 1 listeners; raise the limit/),
  });
  await set({ listeners: 2 });
  expect(await listener()).toBe(true);
  expect(await limit('hosts')).toMatchObject({ limit: 1, current: 1 });
});

test('connections that have not connected a queue are counted', async () => {
  const { counts } = harness.target;
  const qpair = harness.connection(1);
  expect(counts.pending_connections).toBe(1);
  const gone = harness.connection(0);
  expect(counts.pending_connections).toBe(2);
  gone.disconnect('test');
  await harness.completion(qpair, qpair.connect(0, { subnqn: SUBSYSTEM }));
  expect(counts.pending_connections).toBe(0);
  expect(counts.admit({ ...defaultLimits, pending_connections: 1 })).toBe('');
  counts.addPending(1);
  expect(counts.admit({ ...defaultLimits, pending_connections: 1 })).toMatch(/pending_connections/);
  expect([counts.connections, counts.refused_pending_connections]).toEqual([1, 1]);
});

test('limits that were changed are part of the configuration', async () => {
  const saved = () => harness.target.config().filter(({ method }) => method === 'spdk_ts_nvmf_set_limits');
  expect(saved()).toEqual([]);
  await set({ hosts: 7, stall_timeout_ms: 5000 });
  expect(saved()).toEqual([
    { method: 'spdk_ts_nvmf_set_limits', params: { hosts: 7, stall_timeout_ms: 5000 } },
  ]);
});

test('multicast DNS is refused', async () => {
  await expect(call('nvmf_publish_mdns_prr')).rejects.toMatchObject({ code: -95 });
  expect(await call('nvmf_stop_mdns_prr')).toBe(true);
});

test.each([
  ['0x10', /there are reactors on cores/],
  ['x', /poll_groups_mask/],
])('poll_groups_mask %s is refused', async (poll_groups_mask, message) => {
  await expect(harness.target.configure({ poll_groups_mask })).rejects.toThrow(message);
});

test('a subsystem that hands Identify on is refused', async () => {
  await expect(
    call('nvmf_create_subsystem', { nqn: 'nqn.2016-06.io.spdk:p', passthrough: true }),
  ).rejects.toMatchObject({ code: -32602 });
});
