// The target dies under a mounted file system, and comes back.
import { expect } from 'vitest';
import { expectVerified, fioReport } from './fio.ts';
import { connectionEnds } from './kernel-log.ts';
import { type Check, guestSuite, type World } from './suite.ts';
import { eventually, freePort, type Json, Target } from './target.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:restart';
const tree = '/usr/lib/x86_64-linux-gnu/perl-base';
const size = 128 * MiB;

let saved: Json;
let expected: Json;

/** fio and the file system are in use; the target ends in some way and is started with what was saved. */
const survives = (world: World, title: string, end: () => Promise<void>): Check => ({
  title,
  bash: `
    d=$(block_device $nqn)
    b=/sys/block/\${d##*/}
    identity() { echo $(<$b/uuid) $(<$b/nguid) $(<$b/wwid) $(bytes $d); }
    before=$(identity)
    rm -rf /mnt/t/usr /mnt/t/fio
    cd /mnt/t
    copy_tree ${tree}
    fio_to report /mnt/t/fio --verify=crc32c --rw=randwrite --bs=16k --iodepth=16 --size=24m --rate=,3m \\
      --fsync=64 >$out/fio 2>&1 & pid=$!
    sleep 2.5
    kill -0 $pid || complain "$(<$out/fio)"
    from=$(kernel_lines)
    host end
    # into the outage: nothing may fail, only wait
    wait_for 10 kernel_said 'starting error recovery' $from
    kill -0 $pid || complain "$(<$out/fio)"
    host start
    wait_for 30 kernel_said 'Successfully reconnected' $from
    wait_for 10 is_live $nqn
    kill -0 $pid || complain 'fio ended too early to tell anything'
    wait $pid || complain "$(<$out/fio)"
    [ "$(identity)" = "$before" ] || complain "$before became $(identity)"
    echo "$before" >$out/identity
    forget_cached
    same_tree ${tree}
    cd /
    umount /mnt/t
    e2fsck -f -n $d
    mount $d /mnt/t`,
  host: {
    end,
    start: async () => {
      world.target = await world.target.replaceBy(saved);
      // what was loaded is what was saved
      expect(await world.target.config()).toEqual(saved);
    },
  },
  expect: ({ read }) => {
    expectVerified(fioReport(read('report.json')), (24 * MiB) / 16384);
    const [uuid, nguid] = read('identity').split(' ');
    expect([uuid, nguid!.replaceAll('-', '')]).toEqual([expected.uuid, expected.nguid.toLowerCase()]);
  },
});

guestSuite('restart', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    const { target } = world;
    await target.createFileBdev('f0', size, 512);
    await target.export(nqn, ['f0'], world.port);
    saved = await target.config();
    const subsystems: Json[] = await target.rpc('nvmf_get_subsystems');
    [expected] = subsystems.find((s) => s.nqn === nqn).namespaces;
    return { nqn };
  },
  checks: (world) => [
    {
      title: 'a file system is made and mounted',
      bash: `
        attach $nqn --reconnect-delay=1 --ctrl-loss-tmo=120 -k 5
        mkfs.ext4 -q $(block_device $nqn)
        mkdir /mnt/t
        mount $(block_device $nqn) /mnt/t`,
    },
    survives(
      world,
      'killed with -9 under fio and started again, the data are intact and the host is back',
      () => world.target.kill(),
    ),
    survives(world, 'the same when asked to end', async () => {
      expect(await world.target.stop()).toBe(0);
    }),
    {
      title: 'the host has one controller, and after umount and disconnect none',
      bash: `
        host one
        umount /mnt/t
        detach $nqn`,
      host: {
        one: () =>
          eventually(5, 'one controller', async () => (await world.target.controllers()).length === 1),
      },
    },
  ],
  allowed: [
    ...connectionEnds,
    /nvme nvme\d+: (?:I\/O tag|long keepalive RTT)/,
    // the file system waits for the device
    /block nvme\d+n\d+: no usable path - requeuing I\/O/,
  ],
});
