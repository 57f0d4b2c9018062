// One guest with disks over vfio-user and over vhost-user: how its driver rings doorbells, trees of files, and what a file system makes of errors.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { addPciFunction, doorbells, findDisk, virtioDisk } from './disks.ts';
import { unexpectedLines } from './kernel-log.ts';
import { type Check, guestSuite, type World } from './suite.ts';
import { Target } from './target.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:pci';
const guestTool = fileURLToPath(new URL('guest', import.meta.url));

const READS = 300;
const DOORBELLS_AT = 0x1000;
let counts: Record<string, number>;

const traceFile = ({ target }: World): string => join(target.folder, 'qemu.log');

/** Writes to doorbells that QEMU's vfio-user client has sent. */
async function sentDoorbells(world: World): Promise<number> {
  const log = await readFile(traceFile(world), 'utf8');
  const accesses = [...log.matchAll(/vfio_user_region_rw +region 0 offset (0x[0-9a-f]+) count 4/g)];
  return accesses.filter(([, offset]) => Number(offset) >= DOORBELLS_AT).length;
}

async function count(world: World): Promise<Record<string, number>> {
  return { ...(await doorbells(world.target)), sent: await sentDoorbells(world) };
}

/** A line of the trace: which command, in which queue, began or ended. */
const traced = /nvme(\d+): (?:disk=\S+, )?qid=(\d+), cmdid=(\d+), .*/;

function traceOf(text: string, event: string): { qid: number; cmdid: number; line: string }[] {
  return text
    .split('\n')
    .filter((line) => line.includes(`${event}:`))
    .map((line) => {
      const [, , qid, cmdid] = traced.exec(line) ?? [];
      return { qid: Number(qid), cmdid: Number(cmdid), line };
    });
}

const rings = (world: World): Check => ({
  title:
    'its trace has Doorbell Buffer Config with success; QEMU sends as many doorbells as we count, and few',
  bash: `${findDisk}
    t=/sys/kernel/tracing
    modprobe nvme-core
    for e in setup_cmd complete_rq; do echo 1 >$t/events/nvme/nvme_$e/enable; done
    modprobe nvme
    modprobe virtio_blk
    wait_for 10 has_block_device $nqn 2
    wait_for 10 disk EE_VirtioBase
    cat $t/trace >$out/binding
    echo >$t/trace
    host before
    taskset -c 0 dd if=$(block_device $nqn) of=/dev/null bs=4k count=${READS} iflag=direct status=none
    host after >$out/counts.json
    cat $t/trace >$out/reading
    for e in setup_cmd complete_rq; do echo 0 >$t/events/nvme/nvme_$e/enable; done`,
  host: {
    before: async () => {
      counts = await count(world);
    },
    after: async () => {
      const now = await count(world);
      return JSON.stringify(
        Object.fromEntries(Object.entries(now).map(([how, n]) => [how, n - counts[how]!])),
      );
    },
  },
  expect: ({ read, json }) => {
    const binding = read('binding');
    const asked = traceOf(binding, 'nvme_setup_cmd').filter(({ line }) => line.includes('nvme_admin_dbbuf'));
    expect(asked.map(({ qid }) => qid)).toEqual([0]);
    const from = binding.slice(binding.indexOf(asked[0]!.line));
    const [answer] = traceOf(from, 'nvme_complete_rq').filter(
      ({ qid, cmdid }) => qid === 0 && cmdid === asked[0]!.cmdid,
    );
    expect(answer!.line).toMatch(/status=0x0$/);

    const reading = read('reading');
    const commands = traceOf(reading, 'nvme_setup_cmd').filter(({ qid }) => qid > 0);
    const answers = traceOf(reading, 'nvme_complete_rq').filter(({ qid }) => qid > 0);
    expect([commands.length, answers.length]).toEqual([READS, READS]);
    const { trapped, shadowed, mapped, sent } = json('counts.json');
    expect(mapped).toBe(0);
    expect(sent).toBe(trapped);
    // without them it were two for each of these reads, which come one by one
    expect(shadowed).toBeGreaterThan(0);
    expect(sent).toBeLessThan(READS + READS / 10);
    console.log(
      `${READS} reads at depth 1: ${sent} doorbells sent by QEMU, ${trapped} trapped, ${shadowed} shadowed`,
    );
  },
});

const tree: Check = {
  title: 'a part of a kernel build tree, unpacked on one and copied to the other, is the same on both',
  bash: `${findDisk}
    n=$(block_device $nqn) v=$(disk Virtio)
    mkdir -p /mnt/n /mnt/v
    for x in n v; do
      mkfs.ext4 -q -F \${!x}
      mount \${!x} /mnt/$x
    done
    tar -C /mnt/n -xf $tree
    cp -a /mnt/n/{Makefile,arch,include} /mnt/v
    forget_cached
    for x in n v; do
      tar -C /mnt/$x -df $tree
      find /mnt/$x -type f | wc -l
      umount /mnt/$x
      e2fsck -f -n \${!x} >&2
    done >$out/files`,
  expect: ({ read }) => {
    const [n, v] = read('files').trim().split('\n').map(Number);
    expect(n).toBe(v);
    expect(n).toBeGreaterThan(600);
  },
};

/** What Linux says while this disk fails, all of it and of no other; a path of an NVMe namespace has a name of its own. */
function complaints(disk: string): RegExp {
  const any = disk.replace(/^(nvme\d+)(n\d+)$/, '$1(?:c\\d+)?$2');
  return new RegExp(
    [
      `${any}: I/O Cmd\\(0x[12]\\) @ LBA \\d+, \\d+ blocks, I/O Error \\(sct 0x0 / sc 0x6\\)`,
      `I/O error, dev ${any}, sector \\d+ op 0x[01]:`,
      `Buffer I/O error on dev(?:ice)? ${any},`,
      `Aborting journal on device ${disk}-8`,
      `JBD2: I/O error when updating journal superblock for ${disk}-8`,
      `EXT4-fs (?:warning|error) \\(device ${disk}\\): `,
      `EXT4-fs \\(${disk}\\): (?:failed to convert unwritten extents|I/O error while writing superblock|Remounting filesystem read-only)`,
    ].join('|'),
  );
}
const allowed: RegExp[] = [];

const fails = (world: World, what: string, find: string, bdev: string): Check => ({
  title: `errors of a disk over ${what} reach ext4, and after them what was synced is there`,
  bash: `${findDisk}
    d=${find}
    mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 $d
    mkdir -p /mnt/e
    mount -o noatime,errors=remount-ro $d /mnt/e
    head -c 1M /dev/urandom >/mnt/e/kept
    sha256sum /mnt/e/kept >/tmp/kept.sum
    forget_cached
    exec 3</mnt/e/kept
    echo 'disk errors begin' >/dev/kmsg

    host fail read
    ! cat <&3 >/dev/null 2>$out/read || complain 'it was read'
    host mend
    sha256sum -c /tmp/kept.sum
    exec 3<&-
    echo more >/mnt/e/more
    sync

    host fail write
    ! dd if=/dev/zero of=/mnt/e/lost bs=64k count=4 conv=fsync status=none 2>$out/write || complain 'it was written'
    read_only() { sync -f /mnt/e; ! touch /mnt/e/another && grep -q 'Read-only file system' $out/touch; } 2>$out/touch
    wait_for 20 read_only
    host mend
    umount /mnt/e

    echo 'disk errors end' >/dev/kmsg
    e2fsck -f -y $d >$out/fsck || [ $? = 1 ]
    e2fsck -f -n $d
    mount -o noatime,errors=remount-ro $d /mnt/e
    sha256sum -c /tmp/kept.sum
    [ "$(cat /mnt/e/more)" = more ]
    cp /mnt/e/kept /mnt/e/copy
    forget_cached
    cmp /mnt/e/kept /mnt/e/copy
    umount /mnt/e
    echo \${d##*/} >$out/disk
    dmesg >$out/log`,
  host: {
    fail: async (io_type) => {
      const params = { name: bdev, io_type, error_type: 'failure', num: 2 ** 31 };
      await world.target.rpc('bdev_error_inject_error', params);
    },
    mend: async () => {
      await world.target.rpc('bdev_error_inject_error', {
        name: bdev,
        io_type: 'clear',
        error_type: 'failure',
      });
    },
  },
  expect: ({ read }) => {
    for (const how of ['read', 'write']) expect(read(how)).toContain('Input/output error');
    const complaint = complaints(read('disk').trim());
    const log = read('log');
    const from = log.lastIndexOf('disk errors begin');
    const to = log.lastIndexOf('disk errors end');
    expect(to).toBeGreaterThan(from);
    const during = log.slice(from, to);
    expect(during).toContain('Remounting filesystem read-only');
    expect(unexpectedLines(log.slice(0, from), allowed)).toEqual([]);
    expect(unexpectedLines(during, [complaint])).toEqual([]);
    expect(unexpectedLines(log.slice(to))).toEqual([]);
    allowed.push(complaint);
  },
});

guestSuite('disks over vfio-user and vhost-user', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = 0;
    const { target } = world;
    for (const name of ['Pci', 'Virtio']) {
      await target.createMalloc(name, 64 * MiB);
      await target.createMalloc(`${name}Base`, 16 * MiB);
      await target.rpc('bdev_error_create', { base_name: `${name}Base` });
    }
    await addPciFunction(target, nqn, ['Pci', 'EE_PciBase'], { disable_mappable_bar0: true });
    for (const dev_name of ['Virtio', 'EE_VirtioBase'])
      await target.rpc('vhost_create_blk_controller', { ctrlr: dev_name, dev_name });
    const { stdout } = await promisify(execFile)(guestTool, ['tree']);
    return { nqn, tree: stdout.trim() };
  },
  devices: ({ target }) => [`vfio-user:${join(target.folder, 'endpoint', 'cntrl')}`],
  qemu: (world) => [
    virtioDisk(world.target, 'Virtio'),
    virtioDisk(world.target, 'EE_VirtioBase'),
    `-trace vfio_user_region_rw -D ${traceFile(world)}`,
  ],
  checks: (world) => [
    rings(world),
    tree,
    fails(world, 'vfio-user', '$(block_device $nqn 2)', 'EE_PciBase'),
    fails(world, 'vhost-user', '$(disk EE_VirtioBase)', 'EE_VirtioBase'),
  ],
  allowed,
});
