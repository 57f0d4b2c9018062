// Disks over vhost-user: what Linux' virtio driver makes of our controllers, whose front-end is QEMU.
import { expect } from 'vitest';
import { findDisk, virtioDisk } from './disks.ts';
import { expectVerified, fioReport } from './fio.ts';
import { type Check, guestSuite, type World } from './suite.ts';
import { type Json, Target } from './target.ts';

const MiB = 1 << 20;
const tree = '/usr/lib/x86_64-linux-gnu/perl-base';
let saved: Json;

/** A file system on a disk: a tree comes back as it was, what is deleted is given back to the bdev. */
const fileSystem = (world: World, name: string): Check => ({
  title: `a tree on ${name} is what it was, and fstrim reaches the bdev`,
  bash: `${findDisk}
    d=$(disk ${name})
    mkfs.ext4 -q -F $d
    mkdir -p /mnt/t
    mount $d /mnt/t
    cd /mnt/t
    copy_tree ${tree}
    cd /
    umount /mnt/t
    mount $d /mnt/t
    cd /mnt/t
    same_tree ${tree}
    rm -rf usr
    sync
    host unmapped >$out/before
    fstrim -v /mnt/t
    host unmapped >$out/after
    cd /
    umount /mnt/t`,
  host: {
    unmapped: async () =>
      (await world.target.rpc('bdev_get_iostat', { names: [name] })).bdevs[0].bytes_unmapped,
  },
  expect: ({ read }) => expect(Number(read('after'))).toBeGreaterThan(Number(read('before'))),
});

const verify = (name: string, depth: number, bytes: number, more = ''): Check => ({
  title: `randwrite on ${name} at depth ${depth} comes back`,
  bash: `${findDisk}
    fio_to report $(disk ${name}) --verify=crc32c --rw=randwrite --bs=4k --iodepth=${depth} --size=${bytes} ${more}`,
  expect: ({ read }) => expectVerified(fioReport(read('report.json')), bytes / 4096),
});

guestSuite('disks over vhost-user', {
  cpus: 2,
  start: async (world) => {
    world.target = await Target.start();
    const { target } = world;
    await target.createFileBdev('File', 64 * MiB, 512);
    await target.createMalloc('Memory', 64 * MiB);
    await target.createMalloc('Fixed', MiB, 4096);
    await target.rpc('bdev_null_create', { name: 'Growing', num_blocks: 2048, block_size: 512 });
    const create = (ctrlr: string, dev_name: string, more = {}): Promise<Json> =>
      target.rpc('vhost_create_blk_controller', { ctrlr, dev_name, ...more });
    await create('file', 'File');
    await create('packed', 'Memory', { packed_ring: true });
    await create('fixed', 'Fixed', { readonly: true });
    await create('growing', 'Growing');
    saved = await target.config();
    return {};
  },
  qemu: ({ target }) => [
    virtioDisk(target, 'file', 'num-queues=2'),
    virtioDisk(target, 'packed', 'num-queues=2,packed=on'),
    virtioDisk(target, 'fixed', 'num-queues=1'),
    virtioDisk(target, 'growing', 'num-queues=1'),
  ],
  checks: (world) => [
    {
      title: 'are what their bdevs are',
      bash: `${findDisk}
        modprobe virtio_blk
        wait_for 10 disk Growing
        for name in File Memory Fixed Growing; do
          b=/sys/block/$(basename $(disk $name))
          echo $name $(<$b/size) $(<$b/ro) $(<$b/queue/logical_block_size) $(ls $b/mq | wc -l) $(tr ' ' _ <$b/queue/write_cache) \\
            $(<$b/queue/discard_max_bytes) $(cut -c 30,35 $b/device/features)
        done >$out/disks
        host controllers >$out/controllers.json`,
      host: {
        controllers: async () => JSON.stringify(await world.target.rpc('vhost_get_controllers')),
      },
      expect: ({ read, json }) => {
        // size in sectors, read only, block size, queues, cache, discard, event indices and packed rings
        expect(read('disks').trim().split('\n')).toEqual([
          `File ${128 * 1024} 0 512 2 write_back 16777216 10`,
          `Memory ${128 * 1024} 0 512 2 write_back 16777216 11`,
          'Fixed 2048 1 4096 1 write_back 0 10',
          'Growing 2048 0 512 1 write_through 16777216 10',
        ]);
        for (const { ctrlr, sessions } of json('controllers.json'))
          expect([ctrlr, sessions.length, sessions[0].started]).toEqual([ctrlr, 1, true]);
      },
    },
    verify('File', 1, MiB),
    verify('File', 128, 8 * MiB),
    verify('Memory', 1, MiB),
    verify('Memory', 128, 8 * MiB),
    {
      title: 'two processors write at once, on two queues each',
      bash: `${findDisk}
        for name in File Memory; do
          fio_to $name $(disk $name) --verify=crc32c --rw=randrw --bs=64k --iodepth=16 --size=8m --offset_increment=8m \\
            --numjobs=2 --thread --cpus_allowed=0-1 --cpus_allowed_policy=split --group_reporting
        done`,
      expect: ({ read }) => {
        for (const name of ['File', 'Memory'])
          expectVerified(fioReport(read(`${name}.json`)), (16 * MiB) / 65_536);
      },
    },
    fileSystem(world, 'Memory'),
    {
      title: 'a disk that is read only is not written',
      bash: `${findDisk}
        d=$(disk Fixed)
        dd if=$d of=/dev/null bs=4k count=16 iflag=direct
        ! dd if=/dev/zero of=$d bs=4k count=1 oflag=direct || complain 'it was written'`,
    },
    {
      title: 'the guest sees that a disk has grown',
      bash: `${findDisk}
        d=$(disk Growing)
        [ "$(bytes $d)" = ${MiB} ]
        host grow
        is_larger() { [ "$(bytes $d)" = ${4 * MiB} ]; }
        wait_for 10 is_larger
        dd if=$d of=/dev/null bs=1M count=1 skip=3 iflag=direct`,
      host: { grow: () => world.target.rpc('bdev_null_resize', { name: 'Growing', new_size: 4 }) },
    },
    {
      title: 'the target dies under load, and its successor takes up what was under way',
      bash: `${findDisk}
        d=$(disk File)
        from=$(kernel_lines)
        fio_to report $d --verify=crc32c --rw=randwrite --bs=4k --iodepth=32 --size=6m --rate=,1m >$out/fio 2>&1 & pid=$!
        for round in 1 2; do
          sleep 1.2
          kill -0 $pid || complain "$(<$out/fio)"
          host replace
        done
        wait $pid || complain "$(<$out/fio)"`,
      host: {
        replace: async () => {
          world.target = await world.target.replaceBy(saved);
        },
      },
      expect: ({ read }) => expectVerified(fioReport(read('report.json')), (6 * MiB) / 4096),
    },
  ],
});
