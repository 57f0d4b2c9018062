// File systems: made, filled, trimmed, checked, and the same after the device went and came.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { expect } from 'vitest';
import { type Check, guestSuite, type World } from './suite.ts';
import { freePort, Target } from './target.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:filesystem';
/** The least that mkfs.xfs takes is 300 MiB. */
const size = 320 * MiB;
/** A folder that is there on every Debian: some hundred files, some MiB. */
const tree = '/usr/lib/x86_64-linux-gnu/perl-base';

const makers = {
  // inode tables zeroed later, by a kernel thread, would count as unmapped too (Write Zeroes with Deallocate)
  ext4: { make: 'mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0', check: 'e2fsck -f -n' },
  xfs: { make: 'mkfs.xfs -q -f', check: 'xfs_repair -n' },
};

function fileSystem(kind: keyof typeof makers): Check[] {
  const { make, check } = makers[kind];
  return [
    {
      title: `mkfs.${kind}, and a tree copied there is the same when read from the device`,
      bash: `
        d=$(block_device $nqn)
        ${make} $d
        mkdir -p /mnt/t
        mount -t ${kind} $d /mnt/t
        cd /mnt/t
        copy_tree ${tree}
        forget_cached
        same_tree ${tree}
        cd /
        umount /mnt/t
        ${check} $d`,
    },
    {
      title: `${kind} holds the same after disconnecting and connecting`,
      bash: `
        detach $nqn
        attach $nqn
        mount -t ${kind} $(block_device $nqn) /mnt/t
        cd /mnt/t
        same_tree ${tree}`,
    },
  ];
}

/** Counters of the bdev that the suite is about. */
const iostat = (world: World, name: string) => async () =>
  JSON.stringify((await world.target.rpc('bdev_get_iostat', { names: [name] })).bdevs[0]);

const fstrim = (world: World, bdev: string, kind: keyof typeof makers): Check => ({
  title: `fstrim on ${kind} gives back what files had, and keeps the others`,
  bash: `
    cd /mnt/t
    cp -a ./usr doomed
    sync
    host iostat >$out/before.json
    rm -r doomed
    sync
    fstrim -v /mnt/t | tee $out/fstrim
    # xfs only starts the discards: they may arrive after fstrim has ended
    unmaps() { grep -o '"num_unmap_ops":[0-9]*' $1; }
    for _ in {1..50}; do
      host iostat >$out/after.json
      [ "$(unmaps $out/before.json)" = "$(unmaps $out/after.json)" ] || break
      sleep 0.2
    done
    sleep 1
    host iostat >$out/after.json
    forget_cached
    same_tree ${tree}
    cd /
    umount /mnt/t
    ${makers[kind].check} $(block_device $nqn)`,
  host: { iostat: iostat(world, bdev) },
  expect: ({ read, json }) => {
    const trimmed = Number(/\((\d+) bytes\)/.exec(read('fstrim'))?.[1]);
    expect(trimmed).toBeGreaterThan(size / 2);
    const [before, after] = [json('before.json'), json('after.json')];
    expect(after.num_unmap_ops).toBeGreaterThan(before.num_unmap_ops);
    // xfs leaves out groups that it is busy with, a quarter each, and counts them all the same
    const unmapped = after.bytes_unmapped - before.bytes_unmapped;
    expect(unmapped).toBeGreaterThan(kind === 'xfs' ? size / 5 : size / 2);
    expect(unmapped).toBeLessThanOrEqual(trimmed);
  },
});

const noise = `dd if=/dev/urandom of=/tmp/noise bs=1M count=8 status=none`;

guestSuite('file systems on a malloc bdev', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    await world.target.createMalloc('m0', size);
    await world.target.export(nqn, ['m0'], world.port);
    return { nqn };
  },
  checks: (world) => [
    {
      title: 'the kernel may discard and write zeroes',
      bash: `
        attach $nqn
        q=/sys/block/$(basename $(block_device $nqn))/queue
        for f in discard_max_bytes discard_granularity write_zeroes_max_bytes write_cache max_hw_sectors_kb; do
          echo $f $(<$q/$f)
        done | tee $out/limits`,
      expect: ({ read }) => {
        const limits = Object.fromEntries(
          read('limits')
            .trim()
            .split('\n')
            .map((line) => line.split(' ')),
        );
        expect(Number(limits.discard_max_bytes)).toBeGreaterThan(0);
        expect(Number(limits.write_zeroes_max_bytes)).toBeGreaterThan(0);
        expect(Number(limits.max_hw_sectors_kb)).toBeGreaterThanOrEqual(128);
      },
    },
    {
      title: 'blkdiscard of a range: zeroes there, and nowhere else',
      bash: `
        d=$(block_device $nqn)
        ${noise}
        dd if=/tmp/noise of=$d bs=1M seek=4 oflag=direct status=none
        # from 6 to 9 MiB and a block at either side
        blkdiscard -o $((6 * 1048576 - 512)) -l $((3 * 1048576 + 1024)) $d
        dd if=/dev/zero of=/tmp/noise bs=512 seek=$((2 * 2048 - 1)) count=$((3 * 2048 + 2)) conv=notrunc status=none
        forget_cached
        dd if=$d bs=1M skip=4 count=8 iflag=direct status=none | cmp - /tmp/noise`,
    },
    {
      title: 'blkdiscard and blkdiscard -z of everything: zeroes from end to end',
      bash: `
        d=$(block_device $nqn)
        for how in '' -z; do
          ${noise}
          for at in 0 156 312; do dd if=/tmp/noise of=$d bs=1M seek=$at oflag=direct status=none; done
          ! cmp -s -n 1M $d /dev/zero || complain 'nothing was written'
          blkdiscard -f $how $d
          forget_cached
          for at in 0 156 312; do
            dd if=$d bs=1M skip=$at count=8 iflag=direct status=none | cmp -n 8M - /dev/zero
          done
        done`,
    },
    ...fileSystem('ext4'),
    fstrim(world, 'm0', 'ext4'),
    ...fileSystem('xfs'),
    fstrim(world, 'm0', 'xfs'),
  ],
});

let image = '';
/** What is compared of it: an emulated CPU is slow at hashing. */
const part = 96 * MiB;
const sha256 = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { end: part - 1 }), hash);
  return hash.digest('hex');
};

guestSuite('file systems on a file bdev with 4096-byte blocks', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    image = await world.target.createFileBdev('f0', size, 4096);
    await world.target.export(nqn, ['f0'], world.port);
    return { nqn };
  },
  checks: () => [
    { title: 'nvme connect', bash: 'attach $nqn' },
    ...fileSystem('ext4'),
    { title: 'umount', bash: 'umount /mnt/t' },
    ...fileSystem('xfs'),
    {
      title: 'the file of the bdev has what the guest reads',
      bash: `
        umount /mnt/t
        d=$(block_device $nqn)
        nvme flush $d
        dd if=$d bs=1M count=${part / MiB} iflag=direct status=none | sha256sum >$out/guest
        host sha256 >$out/host
        [ "$(cut -d' ' -f1 $out/guest)" = "$(cat $out/host)" ]`,
      host: { sha256: () => sha256(image) },
      expect: ({ read }) => {
        const nothing = createHash('sha256').update(Buffer.alloc(part)).digest('hex');
        expect(read('host')).not.toContain(nothing);
      },
    },
  ],
});
