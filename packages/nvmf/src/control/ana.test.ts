import { decodeAnaLog, identifyController, identifyNamespace } from '@spdk-ts/nvme-spec';
import { RpcServer } from '@spdk-ts/rpc';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ADDRESS, Harness } from '../../test-support/harness.ts';
import { TestHost } from '../../test-support/test-host.ts';
import { registerNvmfRpcs } from './rpc.ts';

const nqn = 'nqn.2016-06.io.spdk:ana';
const OTHER = { ...ADDRESS, trsvcid: '4421' };
const INACCESSIBLE = 0x302;
const DNR = 0x4000;
const CHANGE = 0x0c_0302;
const [optimized, nonOptimized, inaccessible] = [1, 2, 3];

let harness: Harness;
let rpc: RpcServer;
/** The same host through two listeners. */
let one: TestHost;
let two: TestHost;
beforeEach(async () => {
  harness = await Harness.start(2);
  rpc = new RpcServer({ checkResults: true });
  registerNvmfRpcs(rpc, harness.target);
  await harness.bdev('Mem1');
  await harness.bdev('Mem2');
  await call('nvmf_create_subsystem', { nqn, allow_any_host: true, ana_reporting: true, max_namespaces: 4 });
  await call('nvmf_subsystem_add_listener', { nqn, listen_address: ADDRESS });
  await call('nvmf_subsystem_add_listener', { nqn, listen_address: OTHER, ana_state: 'non_optimized' });
  for (const bdev_name of ['Mem1', 'Mem2'])
    await call('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name } });
  one = await TestHost.connect(harness, 1, { subnqn: nqn });
  two = await TestHost.connect(harness, 1, { subnqn: nqn, address: OTHER, reactor: 1 });
});
afterEach(() => harness.stop());

// biome-ignore lint/suspicious/noExplicitAny: what a client would see
const call = (method: string, params: object): Promise<any> => harness.done(rpc.call(method, params));
const setState = (listen_address: object, ana_state: string, anagrpid?: number) =>
  call('nvmf_subsystem_listener_set_ana_state', {
    ...{ nqn, listen_address, ana_state },
    ...(anagrpid !== undefined && { anagrpid }),
  });
const log = async (host: TestHost, lsp = 0) => {
  const { status, data } = await harness.command(
    host.admin,
    { opcode: 2, cdw10: 0x0c | (lsp << 8) | (255 << 16) },
    { length: 1024 },
  );
  expect(status).toBe(0);
  return decodeAnaLog(data);
};
const states = async (host: TestHost) =>
  (await log(host)).groups.map(({ anagrpid, state, nsids }) => [anagrpid, state, ...nsids]);

test('what controllers and namespaces say of ANA', async () => {
  const { data } = await harness.identify(one.admin, 1);
  expect(identifyController.decode(data)).toMatchObject({
    ...{ cmic: 0x0b, anacap: 0x07, anatt: 10, anagrpmax: 4, nanagrpid: 4 },
  });
  expect(identifyController.decode(data).oaes & 0x800).toBe(0x800);
  const ns = await harness.identify(one.admin, 0, 2);
  expect(identifyNamespace.decode(ns.data).anagrpid).toBe(2);
  const supported = await harness.logPage(one.admin, 0, 1024);
  expect(supported.data[0x0c * 4]! & 1).toBe(1);
});

test('the log page: each listener’s states, with and without the namespaces', async () => {
  expect(await states(one)).toEqual([
    [1, optimized, 1],
    [2, optimized, 2],
  ]);
  expect(await states(two)).toEqual([
    [1, nonOptimized, 1],
    [2, nonOptimized, 2],
  ]);
  const groupsOnly = await log(one, 1);
  expect(groupsOnly.groups.map(({ anagrpid, nsids }) => [anagrpid, nsids])).toEqual([
    [1, []],
    [2, []],
  ]);
  const { chgcnt } = await log(one);
  await setState(ADDRESS, 'inaccessible', 2);
  expect((await log(one)).chgcnt).toBeGreaterThan(chgcnt);
});

test('a change is told to the hosts that it concerns, and works at once', async () => {
  const events = [one.aer(), two.aer()];
  await setState(OTHER, 'inaccessible', 2);
  expect([await one.event(events[0]!), await two.event(events[1]!)]).toEqual([undefined, CHANGE]);
  expect(await states(two)).toEqual([
    [1, nonOptimized, 1],
    [2, inaccessible, 2],
  ]);
  expect([await two.read(1), await two.write(1), await one.read(2)]).toEqual([0, 0, 0]);
  expect([await two.read(2), await two.write(2)]).toEqual([INACCESSIBLE, INACCESSIBLE]);
  expect(await two.register(1n, {}, 0n, 2)).toBe(INACCESSIBLE);
  const flush = async ({ io }: TestHost) =>
    (await harness.command(io, { opcode: 0, nsid: 0xffff_ffff })).status;
  expect([await flush(one), await flush(two)], 'of all namespaces').toEqual([0, INACCESSIBLE]);
  const next = two.aer();
  await setState(OTHER, 'optimized');
  expect(await two.event(next)).toBe(CHANGE);
  expect(await two.read(2)).toBe(0);
  expect((await states(two)).map(([, state]) => state)).toEqual([optimized, optimized]);
});

test('what still works where a namespace is inaccessible', async () => {
  await setState(OTHER, 'inaccessible');
  const ns = identifyNamespace.decode((await harness.identify(two.admin, 0, 1)).data);
  expect([ns.nsze > 0, ns.nuse]).toEqual([true, 0]);
  expect(await two.namespaces()).toEqual([1, 2]);
  expect((await harness.logPage(two.admin, 2, 512)).status).toBe(0);
  expect((await two.getFeature(6, 0)).status).toBe(0);
  for (const id of [5, 0x82, 0x83]) {
    expect((await two.getFeature(id, 1)).status).toBe(INACCESSIBLE);
    expect(await two.setFeature(id, 1, 0)).toBe(INACCESSIBLE);
    expect(await two.setFeature(id, 0xffff_ffff, 0)).toBe(INACCESSIBLE);
    expect(await one.setFeature(id, 1, 0)).toBe(0);
  }
});

test('a namespace moves to another group', async () => {
  await setState(OTHER, 'inaccessible', 3);
  const events = [one.aer(), two.aer()];
  expect(await call('nvmf_subsystem_set_ns_ana_group', { nqn, nsid: 1, anagrpid: 3 })).toBe(true);
  expect([await one.event(events[0]!), await two.event(events[1]!)]).toEqual([CHANGE, CHANGE]);
  expect(await states(one)).toEqual([
    [2, optimized, 2],
    [3, optimized, 1],
  ]);
  expect([await one.read(1), await two.read(1)]).toEqual([0, INACCESSIBLE]);
  expect(await one.changed(), 'this is no change of its attributes').toEqual([]);
  expect(identifyNamespace.decode((await harness.identify(one.admin, 0, 1)).data).anagrpid).toBe(3);
});

test('RPC shows the states, and the configuration makes them again', async () => {
  await setState(OTHER, 'inaccessible', 2);
  await setState(OTHER, 'non_optimized', 3);
  const shown = await call('nvmf_subsystem_get_listeners', { nqn });
  expect(shown[1]).toEqual({
    address: OTHER,
    ana_states: [
      { ana_group: 1, ana_state: 'non_optimized' },
      { ana_group: 2, ana_state: 'inaccessible' },
      { ana_group: 3, ana_state: 'non_optimized' },
      { ana_group: 4, ana_state: 'non_optimized' },
    ],
  });
  const [, subsystem] = (await call('nvmf_get_subsystems', {})).slice(-2);
  expect(subsystem.namespaces.map((ns: { anagrpid: number }) => ns.anagrpid)).toEqual([1, 2]);
  const calls = harness.target.config().filter(({ params }) => params['nqn'] === nqn);
  expect(calls.filter(({ method }) => /listener/.test(method)).map(({ params }) => params)).toEqual([
    { nqn, listen_address: ADDRESS, secure_channel: false },
    { nqn, listen_address: OTHER, secure_channel: false, ana_state: 'non_optimized' },
    { nqn, listen_address: OTHER, ana_state: 'inaccessible', anagrpid: 2 },
  ]);
});

test('refusals name what is wrong', async () => {
  const refusal = async (method: string, params: object) => {
    const { code, message } = await call(method, params).catch((error) => error);
    return `${code} ${message}`;
  };
  const state = { nqn, listen_address: ADDRESS, ana_state: 'optimized' };
  const set = (more: object) => refusal('nvmf_subsystem_listener_set_ana_state', { ...state, ...more });
  expect(await set({ ana_state: 'persistent_loss' })).toMatch(/-32602 .*ana_state/);
  expect(await set({ anagrpid: 5 })).toMatch(/-32602 .*anagrpid is 5/);
  expect(await set({ listen_address: { ...ADDRESS, trsvcid: '4499' } })).toMatch(/-32602 .*does not listen/);
  const plain = 'nqn.2016-06.io.spdk:cnode1';
  expect(await set({ nqn: plain })).toMatch(/-32602 .*does not report ANA/);
  const group = { nqn, nsid: 1, anagrpid: 1 };
  const move = (more: object) => refusal('nvmf_subsystem_set_ns_ana_group', { ...group, ...more });
  expect(await move({ anagrpid: 0 })).toMatch(/-32602 .*anagrpid is 0/);
  expect(await move({ nsid: 4 })).toMatch(/-32602 .*no namespace 4/);
  expect(await move({ nqn: plain })).toMatch(/-32602 .*does not report ANA/);
});

test('without ANA reporting there is none of it', async () => {
  const { admin } = await harness.controller();
  expect((await harness.logPage(admin, 0x0c, 64)).status).toBe(0x109 | DNR);
  expect(identifyController.decode((await harness.identify(admin, 1)).data)).toMatchObject({
    ...{ cmic: 3, anacap: 0, anatt: 0, nanagrpid: 0 },
  });
});
