import { IoType } from '@spdk-ts/bdev';
import { RpcServer } from '@spdk-ts/rpc';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Harness, SUBSYSTEM } from '../../test-support/harness.ts';
import { control, release } from '../../test-support/memory-bdev.ts';
import { nqnOf, TestHost } from '../../test-support/test-host.ts';
import { registerNvmfRpcs } from './rpc.ts';

let harness: Harness;
let rpc: RpcServer;
let a: TestHost;
let b: TestHost;
beforeEach(async () => {
  harness = await Harness.start(2);
  rpc = new RpcServer({ checkResults: true });
  registerNvmfRpcs(rpc, harness.target);
  await harness.bdev('Mem1');
  await call('nvmf_subsystem_add_ns', {
    nqn,
    namespace: { bdev_name: 'Mem1', nsid: 5, no_auto_visible: true },
  });
  a = await TestHost.connect(harness, 1, { reactor: 0 });
  b = await TestHost.connect(harness, 2, { reactor: 1 });
});
afterEach(async () => {
  release();
  await harness.stop();
});

const nqn = SUBSYSTEM;
const NO_NAMESPACE = 0x400b;
const CHANGED = 0x04_0002;
const FLUSH_ALL = { opcode: 0, nsid: 0xffff_ffff };
// biome-ignore lint/suspicious/noExplicitAny: what a client would see
const call = (method: string, params: object): Promise<any> => harness.done(rpc.call(method, params));
const show = (number: number) => call('nvmf_ns_add_host', { nqn, nsid: 5, host: nqnOf(number) });
const hide = (number: number) => call('nvmf_ns_remove_host', { nqn, nsid: 5, host: nqnOf(number) });

test('a masked namespace is there for its hosts only', async () => {
  expect(await a.namespaces()).toEqual([1]);
  await show(1);
  expect([await a.namespaces(), await b.namespaces()]).toEqual([[1, 5], [1]]);
  expect([await a.read(5), await a.write(5)]).toEqual([0, 0]);
  expect([await b.read(5), await b.write(5)]).toEqual([NO_NAMESPACE, NO_NAMESPACE]);
  expect(await b.register(1n, {}, 0n, 5)).toBe(NO_NAMESPACE);
  const identify = async (host: TestHost, cns: number) =>
    (await harness.identify(host.admin, cns, 5)).data.some((byte) => byte !== 0);
  expect([await identify(a, 0), await identify(a, 8)]).toEqual([true, true]);
  expect([await identify(b, 0), await identify(b, 8)], 'zeroes').toEqual([false, false]);
  expect((await harness.identify(b.admin, 3, 5)).status).toBe(NO_NAMESPACE);
  expect((await b.getFeature(0x82, 5)).status).toBe(NO_NAMESPACE);
  expect((await a.getFeature(0x82, 5)).status).toBe(0);
});

test('only hosts that see a change hear of it', async () => {
  const events = [a.aer(), b.aer()];
  await show(1);
  expect([await a.event(events[0]!), await b.event(events[1]!)]).toEqual([CHANGED, undefined]);
  expect([await a.changed(), await b.changed()]).toEqual([[5], []]);
  const next = a.aer();
  await show(2);
  expect([await a.event(next), await b.event(events[1]!)]).toEqual([undefined, CHANGED]);
  expect(await b.changed()).toEqual([5]);
  const last = b.aer();
  await hide(2);
  expect([await a.event(next), await b.event(last)]).toEqual([undefined, CHANGED]);
  expect([await b.changed(), await b.namespaces()]).toEqual([[5], [1]]);
  await harness.done(harness.target.removeNamespace(SUBSYSTEM, 5));
  expect(await a.event(next)).toBe(CHANGED);
  expect([await a.changed(), await b.changed()]).toEqual([[5], []]);
});

test('it is the same for controllers that come later, and again after a namespace has come back', async () => {
  await show(1);
  expect(await (await TestHost.connect(harness, 1, { reactor: 1 })).read(5)).toBe(0);
  expect(await (await TestHost.connect(harness, 3, { reactor: 1 })).read(5)).toBe(NO_NAMESPACE);
  await call('nvmf_subsystem_remove_ns', { nqn, nsid: 5 });
  await call('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: 'Mem1', nsid: 5 } });
  expect(await b.read(5)).toBe(0);
});

test('when a host is shut out, its commands have ended', async () => {
  await show(2);
  control.hold = true;
  const cid = b.io.send({ opcode: 1, nsid: 5 }, { data: new Uint8Array(512) });
  let hidden = false;
  const done = hide(2).then(() => {
    hidden = true;
  });
  await harness.pass(5);
  expect(hidden).toBe(false);
  expect(await b.write(5)).toBe(NO_NAMESPACE);
  release();
  await done;
  expect((await harness.completion(b.io, cid)).status).toBe(0);
});

test('a Flush of all namespaces is one of those that the host sees', async () => {
  await show(1);
  const flushes = async (host: TestHost) => {
    control.seen = [];
    expect((await harness.command(host.io, FLUSH_ALL)).status).toBe(0);
    return control.seen.filter(({ type }) => type === IoType.FLUSH).length;
  };
  expect([await flushes(a), await flushes(b)]).toEqual([2, 1]);
});

test('a namespace that is removed waits for a Flush of all, and one that comes meanwhile waits for that', async () => {
  await show(1);
  control.hold = true;
  const before = a.io.send(FLUSH_ALL);
  await harness.turns();
  const removed = call('nvmf_subsystem_remove_ns', { nqn, nsid: 5 });
  await harness.turns();
  const meanwhile = a.io.send(FLUSH_ALL);
  await harness.turns();
  expect(control.held).toHaveLength(2);
  expect([a.io.take(before), a.io.take(meanwhile)]).toEqual([undefined, undefined]);
  release();
  await removed;
  expect((await harness.completion(a.io, before)).status).toBe(0);
  expect((await harness.completion(a.io, meanwhile)).status).toBe(0);
  expect(await a.namespaces()).toEqual([1]);
});

test('what waits for a namespace to be removed holds up no reservation of another', async () => {
  await show(1);
  control.hold = true;
  a.io.send({ opcode: 2, nsid: 5 }, { length: 512 });
  await harness.turns();
  control.hold = false;
  const removed = call('nvmf_subsystem_remove_ns', { nqn, nsid: 5 });
  await harness.turns();
  const flush = a.io.send(FLUSH_ALL);
  await harness.turns();
  expect([await b.register(1n), await b.acquire(1n, { rtype: 1 })]).toEqual([0, 0]);
  expect([a.io.take(flush), control.held.length]).toEqual([undefined, 1]);
  release();
  await removed;
  expect((await harness.completion(a.io, flush)).status, 'Reservation Conflict').toBe(0x4083);
});

test('refusals name what is wrong; what is so already changes nothing', async () => {
  const refusal = async (method: string, params: object) =>
    (await call(method, params).catch((error) => error)).message;
  const host = nqnOf(1);
  expect(await refusal('nvmf_ns_add_host', { nqn, nsid: 1, host })).toMatch(/nsid: .* visible to every host/);
  expect(await refusal('nvmf_ns_remove_host', { nqn, nsid: 9, host })).toMatch(/nsid: .* no namespace 9/);
  expect(await refusal('nvmf_ns_add_host', { nqn, nsid: 5, host: 'x' })).toMatch(/host is "x"/);
  expect(await refusal('nvmf_ns_add_host', { nqn: host, nsid: 5, host })).toMatch(/no subsystem/);
  const event = a.aer();
  await hide(1);
  expect(await a.event(event)).toBeUndefined();
  expect([await show(1), await show(1)]).toEqual([true, true]);
});

test('the configuration names the hosts', async () => {
  await show(2);
  await show(1);
  const calls = harness.target.config().slice(-3);
  expect(calls.map(({ method }) => method)).toEqual([
    ...['nvmf_subsystem_add_ns', 'nvmf_ns_add_host', 'nvmf_ns_add_host'],
  ]);
  expect(calls[0]!.params).toMatchObject({ namespace: { nsid: 5, no_auto_visible: true } });
  expect(calls[1]!.params).toEqual({ nqn, nsid: 5, host: nqnOf(2) });
});
