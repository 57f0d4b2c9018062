// What front-ends do cannot hold up the reactor that serves them and others, nor fill its log; and one whose I/O never ends keeps
// nobody waiting without an answer.
import { native } from '@spdk-ts/native';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fillAndBlock, makeBlocking } from '../host/blocking-event.ts';
import { Bystander } from '../vhost/bystander.ts';
import { FrontEnd, Req, Socket, Status, Type, u32, until } from '../vhost/front-end.ts';
import { pattern, startVhostTarget, type VhostTarget } from '../vhost/setup.ts';
import { cleanUp } from './app-process.ts';

describe.skipIf(native === null)('front-ends that would hold a reactor up (needs the addon)', () => {
  let target: VhostTarget;
  let bystander: Bystander;
  const ends: { close(): void }[] = [];
  const attach = async (name: string): Promise<FrontEnd> => {
    const vm = await FrontEnd.start(target.socket(name));
    ends.push(vm);
    return vm;
  };
  const leave = (vm: { close(): void }): void => {
    vm.close();
    ends.splice(ends.indexOf(vm), 1);
  };

  beforeAll(async () => {
    target = await startVhostTarget();
    const { rpc } = target;
    await rpc.call('bdev_malloc_create', { name: 'Ours', num_blocks: 32_768, block_size: 512 });
    await rpc.call('bdev_malloc_create', { name: 'Base', num_blocks: 32_768, block_size: 512 });
    await rpc.call('bdev_error_create', { base_name: 'Base' });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'ours', dev_name: 'Ours' });
    await rpc.call('vhost_create_blk_controller', { ctrlr: 'theirs', dev_name: 'EE_Base' });
    bystander = await Bystander.start(target, 'ours');
  });
  afterEach(async () => {
    for (const end of ends.splice(0)) end.close();
    await bystander.check();
  });
  afterAll(async () => {
    bystander.close();
    await cleanUp();
  });

  it('eventfds that are full and block are signalled without waiting', async () => {
    const vm = await attach('theirs');
    const ring = vm.rings[0]!;
    fillAndBlock(ring.call);
    fillAndBlock(ring.err);
    for (let i = 0; i < 20; i++) expect((await vm.io(Type.IN, i * 8, 4096)).status).toBe(Status.OK);
    // a ring that breaks is told by the other one
    vm.ram.view.setUint16(ring.driver.place.available + 2, 30_000, true);
    native!.signalEventFd(ring.kick);
    await bystander.look();
  });

  it('a descriptor for kicks that blocks is drained without waiting', async () => {
    const vm = await attach('theirs');
    makeBlocking(vm.rings[0]!.kick);
    // each time the reactor has gone to sleep before
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect((await vm.io(Type.IN, i * 8, 4096)).status).toBe(Status.OK);
    }
  });

  it('the I/O of one that has left keeps its memory, and those who come meanwhile are answered', async () => {
    const inject = (error_type: string): Promise<unknown> =>
      target.rpc.call('bdev_error_inject_error', { name: 'EE_Base', io_type: 'read', error_type, num: 1 });
    const vm = await attach('theirs');
    await vm.io(Type.OUT, 0, pattern(5, 4096));
    await inject('pending');
    vm.submit(Type.IN, 0, 4096);
    const sessions = async (): Promise<{ inflight_task_cnt: number }[]> => {
      const [info] = (await target.rpc.call('vhost_get_controllers', { name: 'theirs' })) as {
        sessions: { inflight_task_cnt: number }[];
      }[];
      return info!.sessions;
    };
    while ((await sessions())[0]!.inflight_task_cnt === 0);
    leave(vm);

    const early = new Socket(target.socket('theirs'));
    ends.push(early);
    early.send(Req.GET_FEATURES);
    expect(await early.receive(60)).toBe(null);
    // from now on nobody need wait for that
    const late = new Socket(target.socket('theirs'));
    ends.push(late);
    expect(await late.ended()).toBe(true);
    expect((await sessions()).map(({ inflight_task_cnt }) => inflight_task_cnt)).toEqual([1]);
    expect(target.process.stderr).toContain('turns a front-end away');

    await target.rpc.call('bdev_error_resume_pending', { name: 'EE_Base' });
    while ((await sessions()).length > 0);
    const back = await attach('theirs');
    const { status, data } = await back.io(Type.IN, 0, 4096);
    expect([status, Buffer.compare(data, pattern(5, 4096))]).toEqual([Status.OK, 0]);
  });

  it('what is refused thousands of times is not told as often', async () => {
    const REFUSED = 1000;
    const socket = new Socket(target.socket('theirs'));
    ends.push(socket);
    socket.send(Req.SET_PROTOCOL_FEATURES, new Uint8Array(BigUint64Array.of(8n).buffer));
    for (let i = 0; i < REFUSED; i++) expect(await socket.ack(Req.SET_VRING_NUM, u32(0, 0))).toBe(1);
    const output = (): string => target.process.stderr;
    await until('they are counted', () => output().includes('more complaints about front-ends') || undefined);
    expect(output().match(/refused SET_VRING_NUM/g)!.length).toBeLessThan(REFUSED / 2);
  });
});
