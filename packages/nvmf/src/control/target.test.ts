import { RpcServer } from '@spdk-ts/rpc';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HOST } from '../../test-support/fake-transport.ts';
import { ADDRESS, Harness, SUBSYSTEM, UUID } from '../../test-support/harness.ts';
import { control, release } from '../../test-support/memory-bdev.ts';
import { registerNvmfRpcs } from './rpc.ts';
import { NvmfTarget } from './target.ts';

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
const refusal = async (method: string, params: object) => {
  const error = await call(method, params).catch((caught) => caught);
  return { code: error.code, message: error.message };
};
const nqn = 'nqn.2016-06.io.spdk:cnode2';

test('transports', async () => {
  expect(await call('nvmf_get_transports')).toEqual([
    {
      ...{ trtype: 'TCP', max_queue_depth: 128, max_io_qpairs_per_ctrlr: 127, in_capsule_data_size: 4096 },
      ...{
        max_io_size: 131072,
        max_aq_depth: 128,
        c2h_success: true,
        sock_priority: 0,
        abort_timeout_sec: 1,
      },
      ...{ iobuf_small_cache_size: 4294967295, iobuf_large_cache_size: 4294967295, ack_timeout: 0 },
      ...{ dif_insert_or_strip: false, zcopy: false, data_wr_pool_size: 0, disable_command_passthru: false },
      ...{ kas: 100, min_kato: 10000 },
    },
  ]);
  expect((await refusal('nvmf_create_transport', { trtype: 'TCP' })).code).toBe(-17);
  expect(await refusal('nvmf_create_transport', { trtype: 'RDMA' })).toEqual({
    code: -32602,
    message: 'Invalid parameters: trtype is "RDMA": this target has TCP and VFIOUSER only',
  });
  expect((await refusal('nvmf_get_transports', { trtype: 'RDMA' })).code).toBe(-19);
  expect((await refusal('nvmf_get_transports', { tgt_name: 'other' })).message).toMatch(
    /Unable to find target/,
  );
});

test.each([
  [{ max_io_size: 100_000 }, /max_io_size is 100000/],
  [{ max_io_size: 262_144 }, /iobuf_set_options/],
  [{ max_queue_depth: 1 }, /max_queue_depth is 1/],
  [{ max_aq_depth: 16 }, /max_aq_depth is 16/],
  [{ in_capsule_data_size: 100 }, /in_capsule_data_size is 100/],
])('transport options are checked: %j', async (options, message) => {
  const target = new NvmfTarget({ host: harness.host, bdevs: harness.bdevs });
  const error = await harness
    .done(target.createTransport({ trtype: 'TCP', ...options }))
    .catch((caught) => caught);
  expect(error).toMatchObject({ code: -32602 });
  expect(error.message).toMatch(message);
});

test('subsystems are shown in SPDK’s shape', async () => {
  const listen_addresses = [{ ...ADDRESS }];
  expect(await call('nvmf_get_subsystems')).toEqual([
    {
      ...{ nqn: 'nqn.2014-08.org.nvmexpress.discovery', subtype: 'Discovery' },
      ...{ listen_addresses: [], allow_any_host: true, hosts: [] },
    },
    {
      ...{ nqn: SUBSYSTEM, subtype: 'NVMe', listen_addresses, allow_any_host: true, hosts: [] },
      ...{ serial_number: 'S1', model_number: 'spdk-ts bdev Controller', max_namespaces: 32 },
      ...{ passthrough: false, min_cntlid: 1, max_cntlid: 65519, dmrsl: 0, wzsl: 0 },
      namespaces: [
        {
          ...{ nsid: 1, bdev_name: 'Mem0', name: 'Mem0', uuid: UUID },
          nguid: UUID.replaceAll('-', '').toUpperCase(),
        },
      ],
    },
  ]);
  expect((await refusal('nvmf_get_subsystems', { nqn })).code).toBe(-19);
});

test.each([
  [{ nqn: 'nqn.bad' }, -32603, /^Unable to create subsystem nqn.bad/],
  [{ nqn: SUBSYSTEM }, -32603, /^Unable to create subsystem .* exists/],
  [{ nqn, min_cntlid: 0 }, -32602, /Invalid cntlid range/],
  [{ nqn, min_cntlid: 9, max_cntlid: 8 }, -32602, /Invalid cntlid range/],
  [{ nqn, max_cntlid: 65520 }, -32602, /Invalid cntlid range/],
  [{ nqn, admin_label: 'abc' }, -32602, /Invalid admin_label/],
  [{ nqn, serial_number: 'x'.repeat(21) }, -32602, /serial_number/],
  [{ nqn, model_number: 'ü' }, -32602, /model_number/],
])('nvmf_create_subsystem is refused: %j', async (params, code, message) => {
  const error = await refusal('nvmf_create_subsystem', params);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
});

test('there is a limit of subsystems', async () => {
  harness.target.max_subsystems = 1;
  expect((await refusal('nvmf_create_subsystem', { nqn })).message).toMatch(/nvmf_set_max_subsystems/);
});

test('errors name the parameter', async () => {
  const add_ns = (namespace: object, to = SUBSYSTEM) =>
    refusal('nvmf_subsystem_add_ns', { nqn: to, namespace });
  expect(await add_ns({ bdev_name: 'none' })).toMatchObject({ code: -32602 });
  expect((await add_ns({ bdev_name: 'none' })).message).toMatch(/namespace.bdev_name none cannot be opened/);
  expect((await add_ns({ bdev_name: 'Mem0' })).message).toMatch(/claim/);
  await harness.bdev('Mem1');
  expect((await add_ns({ bdev_name: 'Mem1', nsid: 1 })).message).toMatch(/nsid 1 is in use/);
  expect((await add_ns({ bdev_name: 'Mem1', nsid: 33 })).message).toMatch(/nsid is 33/);
  expect((await add_ns({ bdev_name: 'Mem1', nguid: '12' })).message).toMatch(/nguid is "12"/);
  expect((await add_ns({ bdev_name: 'Mem1' }, nqn)).message).toMatch(/no subsystem/);
  const listen = (address: object) =>
    refusal('nvmf_subsystem_add_listener', { nqn: SUBSYSTEM, listen_address: { ...ADDRESS, ...address } });
  expect((await listen({})).message).toMatch(/already/);
  expect((await listen({ trtype: 'RDMA' })).message).toMatch(/listen_address.trtype is "RDMA"/);
  expect((await listen({ traddr: 'localhost' })).message).toMatch(/listen_address.traddr is "localhost"/);
  expect((await listen({ adrfam: 'ipv6' })).message).toMatch(/listen_address.adrfam is "ipv6"/);
  expect((await listen({ trsvcid: '70000' })).message).toMatch(/listen_address.trsvcid is "70000"/);
  expect(await listen({ trsvcid: '1' })).toMatchObject({ code: -32602 });
  expect((await refusal('nvmf_subsystem_remove_ns', { nqn: SUBSYSTEM, nsid: 9 })).message).toMatch(
    /no namespace 9/,
  );
  expect((await refusal('nvmf_subsystem_add_host', { nqn: SUBSYSTEM, host: 'x' })).message).toMatch(
    /host is "x"/,
  );
  expect((await refusal('nvmf_subsystem_remove_host', { nqn: SUBSYSTEM, host: HOST })).code).toBe(-32602);
  expect((await refusal('nvmf_discovery_remove_referral', { address: ADDRESS })).code).toBe(-32603);
});

test('one address serves several subsystems, reactors take turns to listen', async () => {
  await call('nvmf_create_subsystem', { nqn });
  await call('nvmf_subsystem_add_listener', { nqn, listen_address: { ...ADDRESS, adrfam: 'ipv4' } });
  const v6 = { trtype: 'tcp', traddr: '::1', trsvcid: '4420' };
  await call('nvmf_subsystem_add_listener', { nqn, listen_address: v6 });
  expect([harness.transport(0).listening.length, harness.transport(1).listening.length]).toEqual([1, 1]);
  expect((await call('nvmf_subsystem_get_listeners', { nqn }))[1]).toEqual({
    address: { trtype: 'TCP', adrfam: 'IPv6', traddr: '::1', trsvcid: '4420' },
  });
  await call('nvmf_subsystem_remove_listener', { nqn, listen_address: ADDRESS });
  expect(harness.transport(0).listening.length).toBe(1);
  const { admin } = await harness.controller();
  await call('nvmf_subsystem_remove_listener', { nqn: SUBSYSTEM, listen_address: ADDRESS });
  expect(harness.transport(0).listening.length).toBe(0);
  expect(admin.removed).toBe(true);
});

test('controllers, queue pairs and counters are shown', async () => {
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller, 1, 1);
  await harness.command(io, { opcode: 2, nsid: 1 }, { length: 512 });
  harness.connection();
  expect(await call('nvmf_subsystem_get_controllers', { nqn: SUBSYSTEM })).toEqual([
    {
      ...{ cntlid: 1, cntrltype: 'io', hostnqn: HOST, num_io_qpairs: 1 },
      hostid: '01020304-0506-0708-090a-0b0c0d0e0f10',
    },
  ]);
  const qpairs = await call('nvmf_subsystem_get_qpairs', { nqn: SUBSYSTEM });
  expect(qpairs.map((q: { qid: number; thread: string }) => [q.qid, q.thread])).toEqual([
    [0, 'nvmf_tgt_poll_group_000'],
    [1, 'nvmf_tgt_poll_group_001'],
  ]);
  expect(qpairs[1]).toMatchObject({ cntlid: 1, state: 'enabled', hostnqn: HOST, listen_address: ADDRESS });
  const { tick_rate, poll_groups } = await call('nvmf_get_stats');
  expect(tick_rate).toBe(1_000_000_000);
  expect(poll_groups).toMatchObject([
    { name: 'nvmf_tgt_poll_group_000', current_admin_qpairs: 1, current_unassociated_qpairs: 1 },
    {
      name: 'nvmf_tgt_poll_group_001',
      current_io_qpairs: 1,
      completed_nvme_io: 1,
      transports: [{ trtype: 'TCP' }],
    },
  ]);
});

test('the configuration makes the same target again', async () => {
  const { target } = harness;
  await harness.bdev('Mem1', '11111111-2222-4333-8444-555555555555');
  await call('nvmf_create_subsystem', { nqn, max_namespaces: 4, admin_label: 'rack 1', min_cntlid: 3 });
  await call('nvmf_subsystem_add_host', { nqn, host: HOST });
  const namespace = { bdev_name: 'Mem1', nsid: 3, eui64: '0123456789abcdef' };
  expect(await call('nvmf_subsystem_add_ns', { nqn, namespace })).toBe(3);
  await call('nvmf_discovery_add_referral', { address: { ...ADDRESS, traddr: '192.0.2.7' } });
  await call('nvmf_subsystem_add_listener', {
    nqn: 'nqn.2014-08.org.nvmexpress.discovery',
    listen_address: { ...ADDRESS, trsvcid: '8009' },
  });
  const saved = target.config();
  expect(saved.map(({ method }) => method)).toEqual([
    'nvmf_set_max_subsystems',
    'nvmf_set_crdt',
    'nvmf_set_config',
    'nvmf_create_transport',
    'nvmf_discovery_add_referral',
    'nvmf_subsystem_add_listener',
    'nvmf_create_subsystem',
    'nvmf_subsystem_add_listener',
    'nvmf_subsystem_add_ns',
    'nvmf_create_subsystem',
    'nvmf_subsystem_add_host',
    'nvmf_subsystem_add_ns',
  ]);
  expect(saved.at(-1)).toEqual({
    method: 'nvmf_subsystem_add_ns',
    params: {
      nqn,
      namespace: {
        ...{ nsid: 3, bdev_name: 'Mem1', eui64: '0123456789ABCDEF', no_auto_visible: false },
        ...{ nguid: '11111111222243338444555555555555', uuid: '11111111-2222-4333-8444-555555555555' },
      },
    },
  });
  const second = await Harness.start(2);
  try {
    await second.bdev('Mem1', '11111111-2222-4333-8444-555555555555');
    await second.done(second.target.deleteSubsystem(SUBSYSTEM));
    const other = new RpcServer({ state: 'startup' });
    registerNvmfRpcs(other, second.target);
    for (const { method, params } of saved) {
      if (method === 'nvmf_create_transport') other.setState('runtime');
      else await second.done(other.call(method, params));
    }
    expect(JSON.stringify(second.target.config())).toBe(JSON.stringify(saved));
  } finally {
    await second.stop();
  }
});

test('in-flight I/O drains, new I/O waits, and nothing is lost when a namespace goes', async () => {
  await harness.bdev('Mem1');
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem1' }));
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller, 1, 1);
  control.hold = true;
  const first = io.send({ opcode: 2, nsid: 2 }, { length: 512 });
  const removed = harness.target.removeNamespace(SUBSYSTEM, 2);
  await harness.turns();
  const late = io.send({ opcode: 2, nsid: 2 }, { length: 512 });
  await harness.pass(20);
  expect(io.completions).toEqual([]);
  expect(control.held, 'the late one waits before the bdev').toHaveLength(1);
  expect(harness.target.subsystem(SUBSYSTEM).namespaces.size, 'not yet').toBe(2);
  release();
  await harness.done(removed);
  expect((await harness.completion(io, first)).status).toBe(0);
  expect((await harness.completion(io, late)).status).toBe(0x400b);
  await harness.bdevs.open('Mem1', { write: true, owner: { name: 'test', onEvent() {} } }).close();
});

test('while a namespace drains, I/O at others goes on, and theirs does not hold it up', async () => {
  await harness.bdev('Mem1');
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem1' }));
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller, 1, 1);
  const read = (nsid: number) => harness.command(io, { opcode: 2, nsid }, { length: 512 });
  // A read whose data are still being sent: they lie in the bdev's memory.
  io.keepsMemory = true;
  expect((await read(2)).status).toBe(0);
  io.keepsMemory = false;
  const removed = harness.target.removeNamespace(SUBSYSTEM, 2);
  await harness.pass(20);
  expect(harness.target.subsystem(SUBSYSTEM).namespaces.size, 'not yet').toBe(2);
  expect((await read(1)).status).toBe(0);
  io.releaseKept();
  await harness.done(removed);
  // Nor does a command at another namespace hold up a removal.
  await harness.done(harness.target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem1' }));
  control.hold = true;
  const cid = io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  await harness.done(harness.target.removeNamespace(SUBSYSTEM, 2));
  release();
  expect((await harness.completion(io, cid)).status).toBe(0);
});

test('a namespace goes with its bdev, and the bdev with the last user', async () => {
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller, 1, 1);
  const aer = controller.admin.send({ opcode: 0x0c });
  control.hold = true;
  const cid = io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  const gone = harness.bdevs.unregister('Mem0');
  await harness.turns();
  release();
  await harness.done(gone);
  expect((await harness.completion(io, cid)).status).toBe(0);
  expect((await harness.completion(controller.admin, aer)).dw0).toBe(0x04_0002);
  expect((await harness.command(io, { opcode: 2, nsid: 1 }, { length: 512 })).status).toBe(0x400b);
  expect(harness.bdevs.get('Mem0')).toBeUndefined();
});

test('changes of one subsystem happen in the order of their calls', async () => {
  const { target } = harness;
  const steps = [
    target.removeNamespace(SUBSYSTEM, 1),
    target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem0', nsid: 5 }),
    target.removeNamespace(SUBSYSTEM, 5),
    target.addNamespace(SUBSYSTEM, { bdev_name: 'Mem0' }),
  ];
  expect(await harness.done(Promise.all(steps))).toEqual([undefined, 5, undefined, 1]);
});

test('a deleted subsystem takes its controllers along and gives its bdevs back', async () => {
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller, 1, 1);
  control.hold = true;
  io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  const deleted = harness.target.deleteSubsystem(SUBSYSTEM);
  await harness.turns();
  expect((await harness.connect(0)).completion.status, 'nobody new').toBe(0x4182);
  release();
  await harness.done(deleted);
  expect([controller.admin.removed, io.removed]).toEqual([true, true]);
  for (const group of harness.groups)
    expect([...group.subsystems.values()].map(({ discovery }) => discovery)).toEqual([true]);
  await harness.done(harness.bdevs.unregister('Mem0'));
  expect((await refusal('nvmf_delete_subsystem', { nqn: 'nqn.2014-08.org.nvmexpress.discovery' })).code).toBe(
    -32602,
  );
});

test('stop ends connections after their commands and leaves nothing', async () => {
  const controller = await harness.controller();
  const io = await harness.ioQueue(controller, 1, 1);
  controller.admin.send({ opcode: 0x0c });
  control.hold = true;
  io.send({ opcode: 2, nsid: 1 }, { length: 512 });
  const stopped = harness.target.stop();
  await harness.turns();
  release();
  await harness.done(stopped);
  for (const group of harness.groups)
    expect([group.qpairs.size, group.controllers.size, group.subsystems.size]).toEqual([0, 0, 0]);
  await harness.done(harness.bdevs.unregister('Mem0'));
});
