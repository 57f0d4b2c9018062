// Namespaces that come, go and grow while the host looks on.
import { statSync } from 'node:fs';
import { expect } from 'vitest';
import { expectVerified, fioReport } from './fio.ts';
import { guestSuite } from './suite.ts';
import { freePort, type Json, Target } from './target.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:namespaces';
const uuid = '7f1d2c66-3f7e-4a9c-8d6c-1f0d0c9a5b42';
const nguid = '0123456789ABCDEF0123456789ABCDEF';
const eui64 = 'FEDCBA9876543210';
let image = '';

guestSuite('namespaces', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    await world.target.createMalloc('m0', 32 * MiB);
    await world.target.createMalloc('m1', 48 * MiB, 4096);
    await world.target.createMalloc('m2', 16 * MiB);
    await world.target.export(nqn, ['m0'], world.port);
    return { nqn };
  },
  checks: (world) => {
    const rpc = (method: string, params: object) => world.target.rpc(method, params);
    const quietly = (method: string, params: object) => async () => {
      await rpc(method, params);
    };
    return [
      {
        title: 'one that is added shows up, while another is in use',
        bash: `
          attach $nqn
          lacks_block_device $nqn 2
          fio_to other $(block_device $nqn) --verify=crc32c --rw=randwrite --bs=4k --iodepth=16 --size=16m \\
            --rate=,4m >$out/fio 2>&1 & pid=$!
          host add
          wait_for 10 has_block_device $nqn 2
          d=$(block_device $nqn 2)
          [ $(bytes $d) = ${48 * MiB} ]
          [ $(blockdev --getss $d) = 4096 ]
          nvme list | tee $out/list
          fio_to new $d --verify=crc32c --rw=randwrite --bs=16k --iodepth=16 --size=4m
          kill -0 $pid
          wait $pid || complain "$(<$out/fio)"`,
        host: { add: quietly('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: 'm1' } }) },
        expect: ({ read }) => {
          expect(read('list').match(/^\/dev\/nvme\d+n\d+ /gm)).toHaveLength(2);
          expectVerified(fioReport(read('other.json')), (16 * MiB) / 4096);
          expectVerified(fioReport(read('new.json')), (4 * MiB) / 16384);
        },
      },
      {
        title: 'one that is removed goes away',
        bash: `
          host remove
          wait_for 10 lacks_block_device $nqn 2
          nvme list | tee $out/list
          nvme list-ns /dev/$(basename $(controller $nqn)) | tee $out/list-ns
          has_block_device $nqn 1`,
        host: { remove: quietly('nvmf_subsystem_remove_ns', { nqn, nsid: 2 }) },
        expect: ({ read }) => {
          expect(read('list').match(/^\/dev\/nvme\d+n\d+ /gm)).toHaveLength(1);
          expect(read('list-ns').trim().split('\n')).toHaveLength(1);
        },
      },
      {
        title: 'one that comes and goes ten times can be read on every queue as soon as it is seen',
        bash: `
          from=$(kernel_lines)
          for i in {1..10}; do
            host add
            wait_for 10 has_block_device $nqn 2
            d=$(block_device $nqn 2)
            for cpu in 0 1; do taskset -c $cpu dd if=$d of=/dev/null bs=64k count=4 iflag=direct status=none; done
            host remove
            wait_for 10 lacks_block_device $nqn 2
          done
          # the kernel was the first to read, when it looked for partitions
          ! kernel_said rror $from || complain "$(dmesg | tail -n +$((from + 1)))"`,
        host: {
          add: quietly('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: 'm1', nsid: 2 } }),
          remove: quietly('nvmf_subsystem_remove_ns', { nqn, nsid: 2 }),
        },
      },
      {
        title: 'one with a number and identity of its own',
        bash: `
          host add
          wait_for 10 has_block_device $nqn 5
          b=/sys/block/$(basename $(block_device $nqn 5))
          echo $(<$b/uuid) $(<$b/nguid) $(<$b/eui) >$out/identity
          ls -l /sys/block >$out/blocks`,
        host: {
          add: async () => {
            const namespace = { bdev_name: 'm2', nsid: 5, uuid, nguid, eui64 };
            expect(await rpc('nvmf_subsystem_add_ns', { nqn, namespace })).toBe(5);
          },
        },
        expect: ({ read }) => {
          const [u, n, e] = read('identity')
            .trim()
            .split(/ (?=\S{36}|(?:[0-9a-f]{2} ){7})/);
          expect(u).toBe(uuid);
          expect(n!.replaceAll('-', '')).toBe(nguid.toLowerCase());
          expect(e!.replaceAll(' ', '')).toBe(eui64.toLowerCase());
        },
      },
      {
        title: 'one whose bdev is deleted goes away',
        bash: `
          host delete
          wait_for 10 lacks_block_device $nqn 5
          host namespaces >$out/namespaces.json`,
        host: {
          delete: quietly('bdev_malloc_delete', { name: 'm2' }),
          namespaces: async () => {
            const subsystems: Json[] = await rpc('nvmf_get_subsystems', {});
            return JSON.stringify(subsystems.find((s) => s.nqn === nqn).namespaces);
          },
        },
        expect: ({ json }) => {
          expect(json('namespaces.json')).toEqual([expect.objectContaining({ nsid: 1, bdev_name: 'm0' })]);
        },
      },
      {
        title: 'one that grows is seen to grow, and keeps its data',
        bash: `
          d=$(block_device $nqn)
          dd if=/dev/urandom of=$d bs=1M count=8 oflag=direct status=none
          sum=$(head -c 32M $d | sha256sum)
          [ $(bytes $d) = ${32 * MiB} ]
          host grow
          wait_for 10 eval '[ $(bytes $d) = ${64 * MiB} ]'
          forget_cached
          [ "$(head -c 32M $d | sha256sum)" = "$sum" ]
          # what is new reads as zeroes, and can be written
          dd if=$d bs=1M skip=32 iflag=direct status=none | cmp -n 32M - /dev/zero
          fio_to new $d --verify=crc32c --rw=randwrite --bs=4k --iodepth=32 --offset=32m --size=4m`,
        host: { grow: quietly('bdev_malloc_resize', { name: 'm0', new_size: 64 }) },
        expect: ({ read }) => expectVerified(fioReport(read('new.json')), 1024),
      },
      {
        title: 'one in a file grows as well, and its file with it',
        bash: `
          host add
          wait_for 10 has_block_device $nqn 3
          d=$(block_device $nqn 3)
          [ $(bytes $d) = ${32 * MiB} ]
          host grow
          wait_for 10 eval '[ $(bytes $d) = ${48 * MiB} ]'
          fio_to new $d --verify=crc32c --rw=randwrite --bs=64k --iodepth=8 --offset=30m --size=18m
          host remove
          wait_for 10 lacks_block_device $nqn 3`,
        host: {
          add: async () => {
            image = await world.target.createFileBdev('f0', 32 * MiB, 512);
            await rpc('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: 'f0', nsid: 3 } });
          },
          grow: quietly('bdev_file_resize', { name: 'f0', new_size: 48 }),
          remove: quietly('nvmf_subsystem_remove_ns', { nqn, nsid: 3 }),
        },
        expect: ({ read }) => {
          expectVerified(fioReport(read('new.json')), 18 * 16);
          expect(statSync(image).size).toBe(48 * MiB);
        },
      },
      {
        title: 'one that goes while it is written to gives errors, and its neighbour works on',
        bash: `
          host add
          wait_for 10 has_block_device $nqn 2
          d=$(block_device $nqn 2)
          fio_to gone $d --verify=crc32c --rw=randwrite --bs=4k --iodepth=16 --size=32m --rate=,4m >$out/gone 2>&1 & gone=$!
          fio_to other $(block_device $nqn) --verify=crc32c --rw=randwrite --bs=4k --iodepth=16 --size=16m \\
            --rate=,4m >$out/other 2>&1 & other=$!
          sleep 2
          kill -0 $gone
          host remove
          wait_for 10 lacks_block_device $nqn 2
          ! wait $gone || complain 'fio noticed nothing'
          kill -0 $other
          wait $other || complain "$(<$out/other)"
          is_live $nqn`,
        host: {
          add: quietly('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: 'm1' } }),
          remove: quietly('nvmf_subsystem_remove_ns', { nqn, nsid: 2 }),
        },
        expect: ({ read }) => expectVerified(fioReport(read('other.json')), (16 * MiB) / 4096),
      },
    ];
  },
  allowed: [
    /nvme\d+n\d+: detected capacity change from/,
    // only of the one that goes while in use; which is never the first
    /nvme\d+(?:c\d+)?n[2-9]: (?:I\/O Cmd\(0x1\)|no (?:usable|available) path)/,
    /error, dev nvme\d+(?:c\d+)?n[2-9], .*\(WRITE\)/,
    /^ +nvme\d+n[2-9]: rw=\d+, sector=\d+, .* limit=0$/,
    /nvme nvme\d+: rescanning/,
  ],
});
