/** The bdev module nvme over several paths: two targets on one file, one of which is lost, refuses, or is disabled at times. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Random } from '@spdk-ts/env';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually, freePort, type Json, listenAddress, Target } from '../linux-guest/target.ts';
import { HostBed } from '../nvme-host/host-bed.ts';
import { VerifiedLoad } from '../nvme-host/verified-load.ts';

const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const BACK = 'nqn.2026-11.io.spdk-ts:shared';
const OTHER = 'nqn.2026-11.io.spdk-ts:other';
const FRONT = 'nqn.2026-11.io.spdk-ts:front';
const BLOCK = 512;
const patience = { ctrlr_loss_timeout_sec: 60, reconnect_delay_sec: 1 };

let backs: [Target, Target];
let ports: [number, number];
let configs: [Json, Json];
let front: Target;
let frontPort: number;

const exportShared = async (target: Target, index: number, port: number): Promise<void> => {
  const min_cntlid = 1 + index * 1000;
  await target.createTransport();
  for (const nqn of [BACK, OTHER])
    await target.rpc('nvmf_create_subsystem', {
      ...{ nqn, allow_any_host: true, ana_reporting: true, serial_number: 'SHARED', max_namespaces: 8 },
      ...{ min_cntlid, max_cntlid: min_cntlid + 998 },
    });
  await target.rpc('nvmf_subsystem_add_ns', { nqn: BACK, namespace: { bdev_name: 'File0' } });
  for (const nqn of [BACK, OTHER])
    await target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address: listenAddress(port) });
};

beforeAll(async () => {
  // Without the addon nobody locks the file: two targets may have it.
  const env = { SPDK_TS_NATIVE: '0' };
  backs = [await Target.start({ env }), await Target.start({ env })];
  ports = [await freePort(), await freePort()];
  const filename = await backs[0].createFileBdev('File0', 32 * 1024 * 1024, BLOCK);
  await backs[1].rpc('bdev_file_create', { name: 'File0', filename, block_size: BLOCK });
  for (const index of [0, 1] as const) await exportShared(backs[index], index, ports[index]);
  configs = [await backs[0].config(), await backs[1].config()];
});
afterAll(async () => {
  for (const target of backs ?? []) {
    await target?.stop();
    await target?.dispose();
  }
});
beforeEach(async () => {
  // One test's failure is not the next one's.
  for (const index of [0, 1] as const)
    if (!backs[index].running) backs[index] = await backs[index].replaceBy(configs[index]);
  front = await Target.start();
  frontPort = await freePort();
});
afterEach(async () => {
  await front.stop();
  await front.dispose();
});

const call = (index: 0 | 1, more: object = {}) => ({
  ...{ name: 'Nvme0', trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: String(ports[index]) },
  ...{ subnqn: BACK, ...more },
});
const attach = (index: 0 | 1, more: object = {}): Promise<string[]> =>
  front.rpc('bdev_nvme_attach_controller', call(index, more));
const paths = async (): Promise<Json[]> => (await front.rpc('bdev_get_bdevs', {}))[0].driver_specific.nvme;
const states = async (): Promise<string[]> =>
  (await front.rpc('bdev_nvme_get_controllers', {}))[0].ctrlrs.map(({ state }: Json) => state);
const setAna = (index: 0 | 1, ana_state: string): Promise<unknown> =>
  backs[index].rpc('nvmf_subsystem_listener_set_ana_state', {
    ...{ nqn: BACK, listen_address: listenAddress(ports[index]), ana_state },
  });
/** Ports of the paths that I/O takes now, on each thread that has the bdev open. */
const current = async (): Promise<string[][]> => {
  const { poll_groups } = await front.rpc('bdev_nvme_get_io_paths', { name: 'Nvme0n1' });
  return poll_groups.map(({ io_paths }: Json) =>
    io_paths.filter((path: Json) => path.current).map((path: Json) => path.transport.trsvcid),
  );
};
const takes = (...indices: (0 | 1)[]): Promise<unknown> =>
  eventually(20, `I/O takes path ${indices}`, async () => {
    const wanted = indices.map((index) => String(ports[index])).sort();
    const now = await current();
    return now.length > 0 && now.every((one) => JSON.stringify(one.sort()) === JSON.stringify(wanted));
  });

/** Does verified I/O through the front, while `meanwhile` runs. */
async function underLoad(meanwhile: (load: VerifiedLoad) => Promise<void>): Promise<void> {
  await front.export(FRONT, ['Nvme0n1'], frontPort);
  const bed = await HostBed.start();
  try {
    const controller = await bed.connect(frontPort, FRONT);
    const queues = [await controller.openIoQueue(), await controller.openIoQueue()];
    const load = new VerifiedLoad(bed, queues, SEED);
    await load.goesOn();
    await meanwhile(load);
    await load.goesOn();
    await load.stop();
    await controller.close();
  } finally {
    await bed.stop();
  }
}

describe('paths', () => {
  it('are added, told of, saved and detached', async () => {
    expect(await attach(0, patience)).toEqual(['Nvme0n1']);
    expect(await attach(1, patience)).toEqual(['Nvme0n1']);
    expect(await front.rpc('bdev_get_bdevs', {})).toHaveLength(1);
    expect((await paths()).map(({ trid, ns_data }) => [trid.trsvcid, ns_data.ana_state])).toEqual([
      [String(ports[0]), 'optimized'],
      [String(ports[1]), 'optimized'],
    ]);
    const [controller] = await front.rpc('bdev_nvme_get_controllers', { name: 'Nvme0' });
    const [{ cntlid: first }, { cntlid: second }] = controller.ctrlrs;
    expect([first < 1000, second > 1000]).toEqual([true, true]);
    await front.rpc('bdev_nvme_set_preferred_path', { name: 'Nvme0n1', cntlid: second });
    await front.rpc('bdev_nvme_set_multipath_policy', {
      ...{ name: 'Nvme0n1', policy: 'active_active', selector: 'round_robin', rr_min_io: 3 },
    });
    const told = { mp_policy: 'active_active', selector: 'round_robin', rr_min_io: 3 };
    expect((await front.rpc('bdev_get_bdevs', {}))[0].driver_specific).toMatchObject(told);

    front = await front.replaceBy(await front.config());
    expect((await front.rpc('bdev_get_bdevs', {}))[0].driver_specific).toMatchObject(told);
    expect((await paths()).map(({ trid }) => trid.trsvcid)).toEqual([String(ports[1]), String(ports[0])]);

    const detach = (params: object) => front.rpc('bdev_nvme_detach_controller', { name: 'Nvme0', ...params });
    await expect(detach({ trsvcid: '1' })).rejects.toMatchObject({ code: -6 });
    await detach({ traddr: '127.0.0.1', trsvcid: String(ports[1]) });
    expect((await paths()).map(({ trid }) => trid.trsvcid)).toEqual([String(ports[0])]);
    await detach({});
    expect(await front.rpc('bdev_get_bdevs', {})).toEqual([]);
    for (const back of backs) expect(await back.controllers()).toEqual([]);
  });

  it('that are disabled are saved like the others, and enabled when that is loaded', async () => {
    await attach(0, patience);
    await attach(1, patience);
    const [{ ctrlrs }] = await front.rpc('bdev_nvme_get_controllers', {});
    const before = await front.config();
    await front.rpc('bdev_nvme_disable_controller', { name: 'Nvme0', cntlid: ctrlrs[1].cntlid });
    expect(await states()).toEqual(['enabled', 'disabled']);
    expect(await front.config()).toEqual(before);
    front = await front.replaceBy(before);
    expect(await states()).toEqual(['enabled', 'enabled']);
    expect((await paths()).length).toBe(2);
    // Both, and the bdev with them: then it is looked for nowhere.
    await front.rpc('bdev_nvme_disable_controller', { name: 'Nvme0' });
    expect(await states()).toEqual(['disabled', 'disabled']);
    expect(await front.config()).toEqual(before);
    front = await front.replaceBy(before);
    expect(await states()).toEqual(['enabled', 'enabled']);
  });

  it('are refused with what is wrong', async () => {
    const refused = (index: 0 | 1, more: object, code: number, text: string): Promise<void> =>
      expect(attach(index, more)).rejects.toThrow(new RegExp(`${text}.*\\(${code}\\)`));
    await attach(0);
    await refused(1, { multipath: 'disable' }, -114, 'already exists and multipath is disabled');
    await refused(0, {}, -114, 'already exists with the specified network path');
    await refused(1, { subnqn: OTHER }, -22, 'uses a different subnqn');
    await refused(1, { hostnqn: 'nqn.2026-11.io.spdk-ts:h' }, -22, 'uses a different hostnqn');
    await refused(1, { multipath: 'failover' }, -22, 'all paths must be for multipath, or all for failover');
    await refused(1, { multipath_opts: { policy: 'active_active' } }, -22, 'multipath_opts are');
    await refused(
      1,
      { multipath_opts: { policy: 'active_passive', selector: 'queue_depth' } },
      -22,
      'it only works with',
    );
    await refused(1, { multipath_opts: { policy: 'active_active', min_io: 0 } }, -22, 'must be at least 1');
    await refused(0, { name: 'Nvme1' }, -17, 'already exists: Nvme0');
    await refused(1, { max_bdevs: 0 }, -22, 'max_bdevs cannot be zero');
    await refused(1, { num_io_queues: 0 }, -22, 'num_io_queues is 0');

    const rpc = (method: string, params: object) => front.rpc(`bdev_nvme_${method}`, params);
    await expect(rpc('set_preferred_path', { name: 'Nvme0n1', cntlid: 77 })).rejects.toThrow(
      'no path to a controller',
    );
    await expect(rpc('set_preferred_path', { name: 'Nvme0n1' })).rejects.toThrow('cntlid is missing');
    await expect(rpc('set_preferred_path', { name: 'None', cntlid: 1 })).rejects.toThrow(
      'there is no such bdev',
    );
    await front.rpc('bdev_null_create', { name: 'Null0', num_blocks: 8, block_size: 512 });
    await expect(rpc('set_multipath_policy', { name: 'Null0', policy: 'active_passive' })).rejects.toThrow(
      'not a bdev of this module',
    );
    await expect(
      rpc('set_multipath_policy', { name: 'Nvme0n1', policy: 'active_active', rr_min_io: 0 }),
    ).rejects.toThrow('min_io is 0');
    await expect(
      rpc('set_multipath_policy', { name: 'Nvme0n1', policy: 'active_passive', selector: 'queue_depth' }),
    ).rejects.toThrow('only works with the policy active_active');
    await expect(rpc('get_path_iostat', { name: 'Nvme0n1' })).rejects.toMatchObject({ code: -1 });
    await expect(rpc('reset_controller', { name: 'Nvme0', cntlid: 77 })).rejects.toThrow(
      'no path with cntlid 77',
    );
    await expect(rpc('enable_controller', { name: 'Nvme0' })).rejects.toThrow('is not disabled');
    await rpc('disable_controller', { name: 'Nvme0' });
    await expect(rpc('disable_controller', { name: 'Nvme0' })).rejects.toThrow('is disabled already');
    await expect(rpc('reset_controller', { name: 'Nvme0' })).rejects.toThrow('is disabled: enable it');
    await rpc('enable_controller', { name: 'Nvme0' });
    expect(await states()).toEqual(['enabled']);

    // The same subsystem and the same ids, of targets that do not know of each other.
    await backs[1].rpc('nvmf_create_subsystem', {
      nqn: 'nqn.2026-11.io.spdk-ts:alien',
      allow_any_host: true,
    });
    await backs[0].rpc('nvmf_create_subsystem', {
      nqn: 'nqn.2026-11.io.spdk-ts:alien',
      allow_any_host: true,
    });
    for (const index of [0, 1] as const)
      await backs[index].rpc('nvmf_subsystem_add_listener', {
        ...{ nqn: 'nqn.2026-11.io.spdk-ts:alien', listen_address: listenAddress(ports[index]) },
      });
    const alien = { name: 'Alien', subnqn: 'nqn.2026-11.io.spdk-ts:alien' };
    await attach(0, alien);
    await refused(1, alien, -22, 'give the targets different ranges of controller ids');
    for (const back of backs) await back.rpc('nvmf_delete_subsystem', { nqn: alien.subnqn });
  });

  it('to other namespaces than ours are refused', async () => {
    await backs[1].rpc('bdev_null_create', { name: 'Null7', num_blocks: 2048, block_size: BLOCK });
    await backs[0].rpc('bdev_null_create', { name: 'Null7', num_blocks: 2048, block_size: BLOCK });
    for (const back of backs)
      await back.rpc('nvmf_subsystem_add_ns', { nqn: OTHER, namespace: { bdev_name: 'Null7', nsid: 7 } });
    await attach(0, { subnqn: OTHER });
    await expect(attach(1, { subnqn: OTHER })).rejects.toThrow('namespace 7 (UUID');
    expect(await states()).toEqual(['enabled']);
    for (const back of backs) {
      await back.rpc('nvmf_subsystem_remove_ns', { nqn: OTHER, nsid: 7 });
      await back.rpc('bdev_null_delete', { name: 'Null7' });
    }
  });

  it('of failover are addresses of one controller', async () => {
    await attach(0, { multipath: 'failover', ...patience });
    expect(await attach(1, { multipath: 'failover', ...patience })).toEqual(['Nvme0n1']);
    const [{ ctrlrs }] = await front.rpc('bdev_nvme_get_controllers', {});
    expect(ctrlrs).toHaveLength(1);
    expect(ctrlrs[0]).toMatchObject({
      trid: { trsvcid: String(ports[0]) },
      alternate_trids: [{ trsvcid: String(ports[1]) }],
    });
    await underLoad(async (load) => {
      await backs[0].kill();
      await load.goesOn();
      expect((await paths()).map(({ trid }) => trid.trsvcid)).toEqual([String(ports[1])]);
      backs[0] = await backs[0].replaceBy(configs[0]);
      // The address in use goes: on to the other one.
      await front.rpc('bdev_nvme_detach_controller', { name: 'Nvme0', trsvcid: String(ports[1]) });
      await load.goesOn();
      expect((await paths()).map(({ trid }) => trid.trsvcid)).toEqual([String(ports[0])]);
    });
    expect((await front.rpc('bdev_nvme_get_controllers', {}))[0].ctrlrs[0].alternate_trids).toBeUndefined();
  });

  it('follow the namespaces of each controller', async () => {
    await attach(0);
    await attach(1);
    const ids = { uuid: '7a1b6f0e-5a3f-4c39-9d3b-0a5b7c1d2e3f', nguid: '7A1B6F0E5A3F4C399D3B0A5B7C1D2E3F' };
    const add = (index: 0 | 1) =>
      backs[index].rpc('nvmf_subsystem_add_ns', {
        nqn: BACK,
        namespace: { bdev_name: 'Null5', nsid: 5, ...ids },
      });
    const remove = (index: 0 | 1) => backs[index].rpc('nvmf_subsystem_remove_ns', { nqn: BACK, nsid: 5 });
    const count = async (): Promise<number> => {
      const [bdev] = await front.rpc('bdev_get_bdevs', { name: 'Nvme0n5' });
      return bdev.driver_specific.nvme.length;
    };
    for (const back of backs)
      await back.rpc('bdev_null_create', { name: 'Null5', num_blocks: 2048, block_size: BLOCK });
    await add(0);
    await eventually(10, 'a bdev with one path', async () => (await count()) === 1);
    await add(1);
    await eventually(10, 'a second path', async () => (await count()) === 2);
    await remove(0);
    await eventually(10, 'one path again', async () => (await count()) === 1);
    await remove(1);
    await eventually(10, 'no bdev', async () => (await front.rpc('bdev_get_bdevs', {})).length === 1);
    for (const back of backs) await back.rpc('bdev_null_delete', { name: 'Null5' });
  });
});

describe('policies', () => {
  const iostat = async (): Promise<number[]> => {
    const { stats } = await front.rpc('bdev_nvme_get_path_iostat', { name: 'Nvme0n1' });
    return stats.map(({ stat }: Json) => stat.num_read_ops + stat.num_write_ops);
  };
  /** I/Os that each path does in a while of load. */
  const spread = async (load: VerifiedLoad): Promise<number[]> => {
    const before = await iostat();
    await load.goesOn(200);
    const after = await iostat();
    return after.map((count, at) => count - before[at]!);
  };

  it('spread I/O as they say, as the counters of the paths show', async () => {
    await front.rpc('bdev_nvme_set_options', { io_path_stat: true });
    await attach(0);
    await attach(1);
    await underLoad(async (load) => {
      await takes(0);
      const [used, idle] = await spread(load);
      expect(used).toBeGreaterThan(200);
      expect(idle).toBe(0);
      const set = (more: object) =>
        front.rpc('bdev_nvme_set_multipath_policy', { name: 'Nvme0n1', policy: 'active_active', ...more });
      await set({ selector: 'round_robin', rr_min_io: 1 });
      await takes(0, 1);
      const [one, other] = await spread(load);
      // Turn by turn on each of the two reactors' threads; what was under way as the counters were read aside.
      expect(Math.abs(one! - other!)).toBeLessThan(40);
      await set({ selector: 'queue_depth' });
      for (const count of await spread(load)) expect(count).toBeGreaterThan(0);
      // Not even with both: an optimized path is better.
      await setAna(0, 'non_optimized');
      await takes(1);
      const [worse, better] = await spread(load);
      expect(worse).toBe(0);
      expect(better).toBeGreaterThan(200);
      await setAna(0, 'optimized');
      await takes(0, 1);
    });
  });

  it('prefer a path, and go back to it', async () => {
    await attach(0, patience);
    await attach(1, patience);
    await underLoad(async (load) => {
      await takes(0);
      const place = { traddr: '127.0.0.1', trsvcid: String(ports[1]) };
      await front.rpc('bdev_nvme_set_preferred_path', { name: 'Nvme0n1', ...place });
      await takes(1);
      await backs[1].kill();
      await takes(0);
      await load.goesOn();
      backs[1] = await backs[1].replaceBy(configs[1]);
      await takes(1);
      await front.rpc('bdev_nvme_set_options', { disable_auto_failback: true });
      await setAna(1, 'inaccessible');
      await takes(0);
      await setAna(1, 'optimized');
      await eventually(10, 'it is accessible', async () =>
        (await paths()).every(({ ns_data }) => ns_data.ana_state === 'optimized'),
      );
      await load.goesOn();
      await takes(0);
      await front.rpc('bdev_nvme_set_options', { disable_auto_failback: false });
      await takes(1);
    });
  });
});

describe('under load nothing is lost', () => {
  it(`when states of access change at random (seed ${SEED})`, async () => {
    await attach(0);
    await attach(1);
    const random = new Random(SEED);
    const names = ['optimized', 'non_optimized', 'inaccessible'];
    await underLoad(async (load) => {
      for (let change = 0; change < 30; change++) {
        const index = random.below(2) as 0 | 1;
        await setAna(index, names[random.below(3)]!);
        await sleep(random.below(100));
      }
      // For less than the transition time: I/O waits.
      await setAna(0, 'inaccessible');
      await setAna(1, 'inaccessible');
      await sleep(1000);
      await setAna(1, 'non_optimized');
      await load.goesOn();
      await setAna(0, 'optimized');
      await takes(0);
      await setAna(1, 'optimized');
    });
  });

  it(`when targets are killed at random, and come again (seed ${SEED})`, async () => {
    await attach(0, { ...patience, hdgst: true, ddgst: true });
    await attach(1, patience);
    const random = new Random(SEED + 1);
    await underLoad(async (load) => {
      for (let kill = 0; kill < 3; kill++) {
        const index = random.below(2) as 0 | 1;
        await backs[index].kill();
        // The other one goes on, or is killed as well.
        if (random.below(2) === 0) await load.goesOn();
        else {
          const other = (1 - index) as 0 | 1;
          backs[other] = await backs[other].replaceBy(configs[other]);
        }
        backs[index] = await backs[index].replaceBy(configs[index]);
        await load.goesOn();
        if (random.below(2) === 0)
          await eventually(30, 'both paths', async () =>
            (await states()).every((state) => state === 'enabled'),
          );
      }
    });
  }, 120_000);

  it('when controllers are reset, disabled, enabled and detached', async () => {
    await attach(0, patience);
    await attach(1, { ...patience });
    await front.rpc('bdev_nvme_set_multipath_policy', { name: 'Nvme0n1', policy: 'active_active' });
    await underLoad(async (load) => {
      await front.rpc('bdev_nvme_reset_controller', { name: 'Nvme0' });
      await load.goesOn();
      const [{ ctrlrs }] = await front.rpc('bdev_nvme_get_controllers', {});
      const { cntlid } = ctrlrs[0];
      await front.rpc('bdev_nvme_disable_controller', { name: 'Nvme0', cntlid });
      expect(await states()).toEqual(['disabled', 'enabled']);
      await takes(1);
      await load.goesOn();
      await front.rpc('bdev_nvme_enable_controller', { name: 'Nvme0', cntlid });
      await takes(0, 1);
      await load.goesOn();
      await front.rpc('bdev_nvme_detach_controller', { name: 'Nvme0', trsvcid: String(ports[0]) });
      await takes(1);
      expect(await attach(0, patience)).toEqual(['Nvme0n1']);
      await takes(0, 1);
    });
  });

  it('when the bdev is reset: each of its paths is connected anew', async () => {
    const admins = async (): Promise<number[]> =>
      Promise.all(
        backs.map(async (back) =>
          (await back.rpc('nvmf_get_stats')).poll_groups.reduce(
            (sum: number, group: Json) => sum + group.admin_qpairs,
            0,
          ),
        ),
      );
    const before = await admins();
    const attaches = ([0, 1] as const).map((index) => ({
      method: 'bdev_nvme_attach_controller',
      params: call(index, { ...patience, multipath_opts: { policy: 'active_active' } }),
    }));
    const config = join(front.folder, 'perf.json');
    writeFileSync(config, JSON.stringify({ subsystems: [{ subsystem: 'bdev', config: attaches }] }));
    const bin = fileURLToPath(new URL('../../apps/bdevperf/bin/bdevperf.js', import.meta.url));
    const load = ['-w', 'reset', '-q', '16', '-o', '4096', '-t', '3', '-m', '0x3', '-C'];
    const [error, text] = await new Promise<[Error | null, string]>((resolve) =>
      execFile(process.execPath, [bin, '-c', config, ...load], (ended, out, err) =>
        resolve([ended, out + err]),
      ),
    );
    expect(error, text).toBe(null);
    // The first connection, and one for each reset at least.
    const after = await admins();
    for (const index of [0, 1]) expect(after[index]! - before[index]!, text).toBeGreaterThanOrEqual(2);
  });

  it('as long as a path is left: then the bdev goes', async () => {
    await attach(0);
    await attach(1);
    await underLoad(async (load) => {
      await backs[0].kill();
      await eventually(20, 'one path', async () => (await states()).length === 1);
      await load.goesOn();
      backs[0] = await backs[0].replaceBy(configs[0]);
    });
    await backs[1].kill();
    await eventually(20, 'no bdev', async () => (await front.rpc('bdev_get_bdevs', {})).length === 0);
    expect(await front.rpc('bdev_nvme_get_controllers', {})).toEqual([]);
    backs[1] = await backs[1].replaceBy(configs[1]);
  });
});

describe('without any path', () => {
  it('I/O fails when it has waited for fast_io_fail_timeout_sec, and goes on afterwards', async () => {
    await attach(0, { ...patience, fast_io_fail_timeout_sec: 1 });
    await front.export(FRONT, ['Nvme0n1'], frontPort);
    const bed = await HostBed.start();
    try {
      const controller = await bed.connect(frontPort, FRONT);
      const queue = await controller.openIoQueue();
      const place = bed.place(BLOCK);
      expect(await bed.write(queue, 0, place, BLOCK)).toBe(0);
      await backs[0].kill();
      expect(await bed.write(queue, 0, place, BLOCK)).not.toBe(0);
      expect(await bed.read(queue, 0, place, BLOCK)).not.toBe(0);
      backs[0] = await backs[0].replaceBy(configs[0]);
      await eventually(30, 'it goes on', async () => (await bed.write(queue, 0, place, BLOCK)) === 0);
      await controller.close();
    } finally {
      await bed.stop();
    }
  });

  it('a controller that is lost and looked for can be detached while I/O waits for it', async () => {
    await attach(0, { ctrlr_loss_timeout_sec: -1, reconnect_delay_sec: 1 });
    await front.export(FRONT, ['Nvme0n1'], frontPort);
    const bed = await HostBed.start();
    try {
      const controller = await bed.connect(frontPort, FRONT);
      const queue = await controller.openIoQueue();
      const place = bed.place(BLOCK);
      await backs[0].kill();
      await eventually(10, 'it is lost', async () => (await states())[0] === 'resetting');
      const written = bed.write(queue, 0, place, BLOCK);
      await sleep(200);
      await front.rpc('bdev_nvme_detach_controller', { name: 'Nvme0' });
      expect(await written).not.toBe(0);
      expect(await front.rpc('bdev_get_bdevs', {})).toEqual([]);
      backs[0] = await backs[0].replaceBy(configs[0]);
      await controller.close();
    } finally {
      await bed.stop();
    }
  });

  it('a target ends although I/O waits for a controller that is lost', async () => {
    await attach(0, { ctrlr_loss_timeout_sec: -1, reconnect_delay_sec: 1 });
    await front.export(FRONT, ['Nvme0n1'], frontPort);
    const bed = await HostBed.start();
    try {
      const controller = await bed.connect(frontPort, FRONT);
      const queue = await controller.openIoQueue();
      await backs[0].kill();
      await eventually(10, 'it is lost', async () => (await states())[0] === 'resetting');
      const written = bed.write(queue, 0, bed.place(BLOCK), BLOCK);
      await sleep(200);
      expect(await front.stop(30)).toBe(0);
      expect(await written).not.toBe(0);
    } finally {
      await bed.stop();
    }
  });
});
