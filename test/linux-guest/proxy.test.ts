// A target that exports another target's namespace, over two paths: Linux sees a disk, whatever becomes of those.
import { expect } from 'vitest';
import { expectVerified, fioReport } from './fio.ts';
import { guestSuite } from './suite.ts';
import { address, freePort, type Json, listenAddress, Target } from './target.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:proxy';
const behind = 'nqn.2024-01.io.spdk-ts:behind';

let back: Target;
let ports: number[];
let saved: Json;

const setAna = (port: number, ana_state: string): Promise<unknown> =>
  back.rpc('nvmf_subsystem_listener_set_ana_state', {
    ...{ nqn: behind, listen_address: listenAddress(port), ana_state },
  });

guestSuite('proxy', {
  start: async (world) => {
    [back, world.target] = [await Target.start(), await Target.start()];
    ports = [await freePort(), await freePort()];
    await back.createFileBdev('f0', 64 * MiB, 512);
    await back.createTransport();
    await back.rpc('nvmf_create_subsystem', { nqn: behind, allow_any_host: true, ana_reporting: true });
    await back.rpc('nvmf_subsystem_add_ns', { nqn: behind, namespace: { bdev_name: 'f0' } });
    for (const port of ports)
      await back.rpc('nvmf_subsystem_add_listener', { nqn: behind, listen_address: listenAddress(port) });
    saved = await back.config();
    for (const port of ports)
      await world.target.rpc('bdev_nvme_attach_controller', {
        ...{ name: 'Nvme0', trtype: 'TCP', traddr: address, trsvcid: String(port), subnqn: behind },
        ...{
          ctrlr_loss_timeout_sec: 60,
          reconnect_delay_sec: 1,
          multipath_opts: { policy: 'active_active' },
        },
      });
    world.port = await freePort();
    await world.target.export(nqn, ['Nvme0n1'], world.port);
    return { nqn };
  },
  stop: async () => {
    await back?.stop();
    await back?.dispose();
  },
  checks: () => [
    {
      title: 'every block comes back through both targets, while access to the paths changes',
      bash: `
        attach $nqn
        d=$(block_device $nqn)
        fio_to report $d --verify=crc32c --rw=randwrite --bs=16k --iodepth=32 --size=12m >$out/fio 2>&1 & pid=$!
        while kill -0 $pid 2>/dev/null; do host change; sleep 0.2; done
        wait $pid || complain "$(<$out/fio)"
        is_live $nqn`,
      host: {
        change: async () => {
          await setAna(ports[0]!, 'inaccessible');
          await setAna(ports[0]!, 'optimized');
          await setAna(ports[1]!, 'non_optimized');
          await setAna(ports[1]!, 'optimized');
        },
      },
      expect: ({ read }) => expectVerified(fioReport(read('report.json')), (12 * MiB) / 16384),
    },
    {
      title: 'the target behind is killed and started again, and Linux notices nothing',
      bash: `
        d=$(block_device $nqn)
        from=$(kernel_lines)
        fio_to report $d --verify=crc32c --rw=randrw --bs=4k --iodepth=32 --size=8m --rate=2m,2m >$out/fio 2>&1 & pid=$!
        sleep 1
        host kill
        kill -0 $pid || complain 'fio ended too early to tell anything'
        wait $pid || complain "$(<$out/fio)"
        is_live $nqn
        ! kernel_said "nvme nvme" $from || complain "$(dmesg | tail)"
        detach $nqn`,
      host: {
        kill: async () => {
          back = await back.replaceBy(saved);
        },
      },
      expect: ({ read }) => {
        const report = fioReport(read('report.json'));
        expectVerified(report, (8 * MiB) / 4096);
        expect(report.jobs[0].error).toBe(0);
      },
    },
  ],
});
