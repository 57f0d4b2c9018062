// NVMe controllers of the target as PCI functions of a virtual machine, used by Linux' own nvme driver.
import { join } from 'node:path';
import { expect } from 'vitest';
import { addPciFunction, doorbells } from './disks.ts';
import { expectVerified, fioReport } from './fio.ts';
import { type Check, guestSuite, type World } from './suite.ts';
import { eventually, type Json, Target } from './target.ts';

const KiB = 1 << 10;
const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:pci';
const tree = '/usr/lib/x86_64-linux-gnu/perl-base';

/** A target with one endpoint, whose controller has a namespace of 64 MiB. */
async function start(world: World, options: object): Promise<Record<string, string>> {
  world.target = await Target.start();
  world.port = 0;
  const { target } = world;
  await target.createMalloc('m0', 64 * MiB);
  await target.createMalloc('m1', 16 * MiB, 4096);
  await addPciFunction(target, nqn, ['m0'], options);
  return { nqn };
}

const binds: Check = {
  title: 'the nvme driver binds, and identifies controller and namespace',
  bash: `
    modprobe nvme
    wait_for 10 is_live $nqn
    wait_for 10 has_block_device $nqn
    c=$(controller $nqn)
    function=$(realpath $c/device)
    echo $(<$function/vendor) $(<$function/device) $(<$function/class) >$out/pci
    nvme id-ctrl /dev/\${c##*/} -o json >$out/ctrl.json
    nvme id-ns $(block_device $nqn) -o json >$out/ns.json
    nvme smart-log /dev/\${c##*/} -o json >$out/smart.json
    ls $function/msi_irqs | wc -l >$out/vectors`,
  expect: ({ read, json }) => {
    expect(read('pci').trim()).toBe('0x4e58 0x0001 0x010802');
    const { sn, subnqn, nn, sgls } = json('ctrl.json');
    expect([sn.trim(), subnqn, nn > 0, sgls]).toEqual(['SPDKTSPCI', nqn, true, 2]);
    expect(json('ns.json').nsze).toBe((64 * MiB) / 512);
    expect(json('smart.json').critical_warning).toBe(0);
    expect(Number(read('vectors'))).toBeGreaterThanOrEqual(3);
  },
};

const fio = (rw: string, bs: string, bytes: number, depth: number, size: number): Check => ({
  title: `${rw} of ${bs} blocks at depth ${depth}`,
  bash: `fio_to report $(block_device $nqn) --verify=crc32c --rw=${rw} --bs=${bs} --iodepth=${depth} --size=${size}`,
  expect: ({ read }) => expectVerified(fioReport(read('report.json')), size / bytes),
});

guestSuite('a PCI function with trapped doorbells', {
  cpus: 2,
  start: (world) => start(world, { disable_mappable_bar0: true }),
  devices: ({ target }) => [`vfio-user:${join(target.folder, 'endpoint', 'cntrl')}`],
  checks: (world) => [
    binds,
    fio('randwrite', '4k', 4 * KiB, 1, MiB),
    fio('randwrite', '4k', 4 * KiB, 128, 8 * MiB),
    fio('randrw', '128k', 128 * KiB, 16, 16 * MiB),
    {
      title: 'commands spread over two queues, on two reactors',
      bash: `
        d=$(block_device $nqn)
        for cpu in 0 1; do taskset -c $cpu dd if=$d of=/dev/null bs=4k count=200 iflag=direct status=none & done
        wait
        awk '/nvme.q[12]$/ { print $2 + $3 }' /proc/interrupts >$out/interrupts
        host queues`,
      host: {
        queues: async () => {
          const qpairs: Json[] = await world.target.rpc('nvmf_subsystem_get_qpairs', { nqn });
          expect(qpairs.map(({ qid }) => qid).sort()).toEqual([0, 1, 2]);
          expect(new Set(qpairs.filter(({ qid }) => qid > 0).map(({ thread }) => thread)).size).toBe(2);
        },
      },
      expect: ({ read }) => {
        const [one, two] = read('interrupts').trim().split('\n').map(Number);
        expect(Math.min(one!, two!)).toBeGreaterThanOrEqual(200);
      },
    },
    {
      title: 'the driver uses shadow doorbells: most commands ring none',
      bash: 'host counts >$out/counts.json',
      host: { counts: async () => JSON.stringify(await doorbells(world.target)) },
      expect: ({ json }) => {
        const { trapped, mapped, shadowed } = json('counts.json');
        expect(mapped).toBe(0);
        expect(shadowed).toBeGreaterThan(500);
        // More than 4000 I/O commands, and two doorbells each without them.
        expect(trapped).toBeLessThan(4000);
      },
    },
    {
      title: 'mkfs, and a tree copied there is the same when read from the device',
      bash: `
        d=$(block_device $nqn)
        mkfs.ext4 -q -F $d
        mkdir -p /mnt/t
        mount $d /mnt/t
        cd /mnt/t
        copy_tree ${tree}
        forget_cached
        same_tree ${tree}
        cd /`,
    },
    {
      title: 'nvme reset, and a function level reset, under a mounted file system',
      bash: `
        c=$(controller $nqn)
        nvme reset /dev/\${c##*/}
        wait_for 10 is_live $nqn
        cd /mnt/t
        same_tree ${tree}
        echo 1 >$(realpath $c/device)/reset
        wait_for 10 is_live $nqn
        forget_cached
        same_tree ${tree}
        cd /
        umount /mnt/t
        e2fsck -f -n $(block_device $nqn)`,
    },
    {
      title: 'a namespace comes and goes',
      bash: `
        host add
        wait_for 10 has_block_device $nqn 2
        [ $(bytes $(block_device $nqn 2)) = ${16 * MiB} ]
        dd if=/dev/urandom of=$(block_device $nqn 2) bs=64k count=8 oflag=direct status=none
        host remove
        wait_for 10 lacks_block_device $nqn 2
        has_block_device $nqn`,
      host: {
        add: async () => {
          const namespace = { bdev_name: 'm1', nsid: 2 };
          await world.target.rpc('nvmf_subsystem_add_ns', { nqn, namespace });
        },
        remove: async () => {
          await world.target.rpc('nvmf_subsystem_remove_ns', { nqn, nsid: 2 });
        },
      },
    },
    {
      title: 'the driver lets go, and takes the function again',
      bash: `
        function=$(basename $(realpath $(controller $nqn)/device))
        echo $function >/sys/bus/pci/drivers/nvme/unbind
        wait_for 10 no_nvme_device
        echo $function >/sys/bus/pci/drivers/nvme/bind
        wait_for 10 has_block_device $nqn
        dd if=$(block_device $nqn) of=/dev/null bs=1M count=4 iflag=direct status=none
        echo $function >/sys/bus/pci/drivers/nvme/unbind`,
    },
  ],
  allowed: [/nvme nvme\d+: resetting controller/, /nvme nvme\d+: restart/],
});

guestSuite('a PCI function with doorbells in mapped memory', {
  cpus: 2,
  start: (world) => start(world, {}),
  devices: ({ target }) => [`vfio-user:${join(target.folder, 'endpoint', 'cntrl')}`],
  checks: (world) => [
    binds,
    fio('randwrite', '4k', 4 * KiB, 32, 4 * MiB),
    {
      title: 'doorbells are found in memory',
      bash: `
        host before
        d=$(block_device $nqn)
        dd if=$d of=/dev/null bs=4k count=200 iflag=direct status=none
        host after`,
      host: {
        before: async () => {
          counts = await doorbells(world.target);
        },
        after: async () => {
          const now = await doorbells(world.target);
          expect(now['mapped']! - counts['mapped']!).toBeGreaterThanOrEqual(200);
          expect(now['trapped']! - counts['trapped']!).toBeLessThan(20);
          expect(now['shadowed']).toBe(0);
        },
      },
    },
    {
      title: 'its endpoint is taken away: the driver gives the device up, and the target has no controller',
      bash: `
        host remove
        function=$(realpath $(controller $nqn)/device)
        echo 1 >$function/remove
        wait_for 30 no_nvme_device`,
      host: {
        remove: async () => {
          const listen_address = { trtype: 'VFIOUSER', traddr: join(world.target.folder, 'endpoint') };
          await world.target.rpc('nvmf_subsystem_remove_listener', { nqn, listen_address });
          await eventually(10, 'no controller', async () => (await world.target.controllers()).length === 0);
        },
      },
    },
  ],
  allowed: [/nvme/],
});

let counts: Record<string, number> = {};
