// A guest that is rebooted, and one whose target is killed, with disks over vfio-user and over vhost-user.
import { join } from 'node:path';
import { expect } from 'vitest';
import { addPciFunction, findDisk, virtioDisk } from './disks.ts';
import { expectVerified, fioReport } from './fio.ts';
import { unexpectedLines } from './kernel-log.ts';
import { qmp, qmpSocket } from './qmp.ts';
import { guestSuite, type World } from './suite.ts';
import { freePort, type Json, listenAddress, Target } from './target.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:pci';

let saved: Json;
let before: Json[];

const monitor = ({ target }: World): string => join(target.folder, 'qmp');

const disks = `${findDisk}
  both() { n=$(block_device $nqn) v=$(disk Virtio); }
  fill() { head -c 2M /dev/urandom >$1/data; (cd $1; sha256sum data >sums; sync); }
  filled() { (cd $1; sha256sum -c sums); }`;

guestSuite('a guest with disks over vfio-user and vhost-user', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    const { target } = world;
    for (const name of ['Pci', 'Virtio']) await target.createFileBdev(name, 48 * MiB, 512);
    // Doorbells in memory: QEMU does not survive the end of a target that owes it an answer, as to a trapped doorbell.
    await addPciFunction(target, nqn, ['Pci']);
    // the other way to the same namespace
    await target.rpc('nvmf_create_transport', { trtype: 'TCP' });
    await target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address: listenAddress(world.port) });
    await target.rpc('vhost_create_blk_controller', { ctrlr: 'Virtio', dev_name: 'Virtio' });
    saved = await target.config();
    return { nqn };
  },
  devices: ({ target }) => [`vfio-user:${join(target.folder, 'endpoint', 'cntrl')}`],
  qemu: (world) => [qmpSocket(monitor(world)), virtioDisk(world.target, 'Virtio')],
  checks: (world) => [
    {
      // Both times that it boots it does this; what the disks hold tells it which one it is.
      title: 'rebooted under load, it finds on its disks what it left there, and goes on',
      bash: `${disks}
        modprobe nvme_core io_timeout=4 admin_timeout=4
        modprobe nvme
        modprobe virtio_blk
        wait_for 10 has_block_device $nqn
        wait_for 10 disk Virtio
        both
        mkdir -p /mnt/n /mnt/v
        was_here() { dd if=$1 bs=4k skip=$((32 * 256)) count=1 iflag=direct status=none | grep -q '^been here'; }
        if was_here $n; then
          was_here $v
          host again
          for x in n v; do
            mount \${!x} /mnt/$x
            filled /mnt/$x
            umount /mnt/$x
            e2fsck -f -n \${!x}
            fio_to $x \${!x} --verify=crc32c --rw=randwrite --bs=4k --iodepth=16 --offset=32m --size=2m
          done
        else
          host first
          for x in n v; do
            mkfs.ext4 -q -F \${!x} 32M
            mount \${!x} /mnt/$x
            fill /mnt/$x
            echo 'been here' | dd of=\${!x} bs=4k seek=$((32 * 256)) conv=sync oflag=direct status=none
            # writes are under way when the machine is reset, beside the file system and in it
            while :; do dd if=/dev/zero of=\${!x} bs=64k seek=640 count=64 oflag=direct status=none; done &
            while :; do dd if=/dev/zero of=/mnt/$x/more bs=64k count=32 conv=fsync status=none; done &
          done
          sleep 0.5
          dmesg >$out/first.log
          host reboot
          /bin/busybox reboot -f -n
          sleep 60
          complain 'it was not rebooted'
        fi`,
      host: {
        first: async () => {
          before = await world.target.controllers();
          expect(before.length).toBe(1);
        },
        reboot: () => qmp(monitor(world), 'set-action', { reboot: 'reset' }).then(() => undefined),
        again: async () => {
          // the controller was reset with the machine; the disk has one session as before
          const now = await world.target.controllers();
          expect(now.map(({ hostnqn }) => hostnqn)).toEqual(before.map(({ hostnqn }) => hostnqn));
          expect(now[0].cntlid).not.toBe(before[0].cntlid);
          const [{ sessions }] = await world.target.rpc('vhost_get_controllers');
          expect(sessions.map(({ started }: Json) => started)).toEqual([true]);
        },
      },
      expect: ({ read }) => {
        for (const x of ['n', 'v']) expectVerified(fioReport(read(`${x}.json`)), (2 * MiB) / 4096);
        const first = read('first.log');
        expect(first).toContain('Command line');
        expect(unexpectedLines(first)).toEqual([]);
      },
    },
    {
      title:
        'its target is killed with -9: I/O to the virtio disk waits for the next one, the NVMe controller is given up',
      bash: `${disks}
        both
        mount $v /mnt/v
        from=$(kernel_lines)
        fio_to v /mnt/v/fio --verify=crc32c --rw=randwrite --bs=4k --iodepth=8 --size=2m --rate=,512k >$out/fio 2>&1 & fio=$!
        # A write that is under way at that moment may wait for another path to the namespace.
        touch /tmp/go
        (while [ -e /tmp/go ] && dd if=/dev/zero of=$n bs=4k seek=8192 count=64 oflag=direct conv=nocreat status=none; do :; done) &
        writes=$!
        echo $writes >/tmp/writes.pid
        sleep 1
        kill -0 $fio
        kill -0 $writes
        host kill
        wait_for 60 controller_is $nqn dead
        ! dd if=$n of=/dev/null bs=4k count=1 iflag=direct status=none 2>$out/dead || complain 'it was read'
        dmesg | tail -n +$((from + 1)) >$out/log
        kill -0 $fio || complain "$(<$out/fio)"
        host start
        wait $fio || complain "$(<$out/fio)"
        forget_cached
        filled /mnt/v
        umount /mnt/v
        e2fsck -f -n $v`,
      host: {
        kill: () => world.target.kill(),
        start: async () => {
          world.target = await world.target.replaceBy(saved);
        },
      },
      expect: ({ read }) => {
        expect(read('dead')).toContain('Input/output error');
        const log = read('log');
        expect(log).toContain('controller is down; will reset: CSTS=0xffffffff');
        expect(log).toContain('Disabling device after reset failure: -19');
        // nothing of the virtio disk
        expect(log).not.toMatch(/vd[a-z]/);
        expectVerified(fioReport(read('v.json')), (2 * MiB) / 4096);
      },
    },
    {
      title: 'connected over TCP as well, it has a path to the namespace again, with what was synced',
      bash: `${disks}
        modprobe nvme-tcp
        nvme connect -t tcp -a $address -s $port -n $nqn
        readable() { dd if=$(block_device $nqn) of=/dev/null bs=4k count=1 iflag=direct status=none; }
        wait_for 20 readable
        rm /tmp/go
        writes_end() { ! kill -0 $(</tmp/writes.pid); }
        wait_for 20 writes_end
        both
        mount $n /mnt/n
        filled /mnt/n
        umount /mnt/n
        e2fsck -f -n $n`,
    },
  ],
  allowed: [
    /nvme nvme\d+: (?:controller is down; will reset|Does your device have a faulty power saving|Try "nvme_core)/,
    /nvme nvme\d+: (?:Disabling device after reset failure: -19|Device not ready)/,
    /nvme \S+: (?:Unable to change power state|enabling device)/,
    /block nvme\d+n\d+: no (?:usable path - requeuing|available path - failing) I\/O/,
    /I\/O error, dev nvme\d+n\d+,|Buffer I\/O error on dev nvme\d+n\d+,/,
    // what was under way in the file systems when the machine was reset
    /EXT4-fs \((?:nvme\d+n\d+|vd[a-z])\): recovery complete/,
  ],
});
