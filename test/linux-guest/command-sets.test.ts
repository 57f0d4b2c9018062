// Zoned, key value and protected namespaces, and commands that the kernel has no use for, from a Linux host.
import { expect } from 'vitest';
import { fioReport } from './fio.ts';
import { guestSuite } from './suite.ts';
import { freePort, Target } from './target.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:sets';
const ZONE_MIB = 4;
const ZONES = 16;

guestSuite('command sets', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    const { target } = world;
    await target.createMalloc('plain', 64 * MiB);
    const zone_size = (ZONE_MIB * MiB) / 512;
    await target.rpc('bdev_malloc_create', {
      ...{ name: 'zoned', block_size: 512, num_blocks: ZONES * zone_size, zone_size },
      ...{ zone_capacity: zone_size - 1024, max_open_zones: 4, max_active_zones: 6 },
    });
    await target.rpc('bdev_malloc_kv_create', { name: 'kv', block_size: 512, num_blocks: 65_536 });
    await target.rpc('bdev_malloc_create', {
      ...{ name: 'protected', block_size: 512, num_blocks: (32 * MiB) / 512 },
      ...{ md_size: 8, md_interleave: true, dif_type: 1 },
    });
    await target.export(nqn, ['plain', 'zoned', 'kv', 'protected'], world.port);
    return { nqn, zones: ZONES, zone_mib: ZONE_MIB };
  },
  checks: () => [
    {
      title: 'the kernel takes the zoned namespace for a host-managed zoned device',
      bash: `
        attach $nqn
        wait_for 10 has_block_device $nqn 2
        d=$(block_device $nqn 2); q=/sys/block/\${d##*/}/queue
        for f in zoned nr_zones chunk_sectors max_open_zones max_active_zones; do echo $f $(<$q/$f); done | tee $out/queue
        blkzone report $d | tee $out/report`,
      expect: ({ read }) => {
        expect(read('queue').trim().split('\n')).toEqual([
          'zoned host-managed',
          `nr_zones ${ZONES}`,
          `chunk_sectors ${(ZONE_MIB * MiB) / 512}`,
          'max_open_zones 4',
          'max_active_zones 6',
        ]);
        const zones = read('report').trim().split('\n');
        expect(zones).toHaveLength(ZONES);
        for (const zone of zones) expect(zone).toMatch(/cap 0x001c00.*zcond: 1\(em\).*SEQ_WRITE_REQUIRED/);
      },
    },
    {
      title: 'blkzone opens, closes, finishes and resets zones',
      bash: `
        d=$(block_device $nqn 2)
        condition() { blkzone report -o $(($1 * zone_mib * 2048)) -c 1 $d | grep -o 'zcond: *[0-9]*'; }
        blkzone open -o 0 -c 1 $d; condition 0 >>$out/conditions
        blkzone close -o 0 -c 1 $d; condition 0 >>$out/conditions
        dd if=/dev/urandom of=/tmp/data bs=64k count=4 status=none
        dd if=/tmp/data of=$d bs=64k oflag=direct status=none; condition 0 >>$out/conditions
        dd if=$d bs=64k count=4 iflag=direct status=none | cmp - /tmp/data
        ! dd if=/tmp/data of=$d bs=64k seek=8 count=1 oflag=direct status=none || complain 'not at the write pointer'
        blkzone finish -o 0 -c 1 $d; condition 0 >>$out/conditions
        blkzone reset $d; condition 0 >>$out/conditions`,
      expect: ({ read }) => {
        const conditions = read('conditions').match(/\d+/g);
        // Explicitly open; closed (or empty again, as nothing was written); implicitly open; full; empty.
        expect(conditions![0]).toBe('3');
        expect(['1', '4']).toContain(conditions![1]);
        expect(conditions!.slice(2)).toEqual(['2', '14', '1']);
      },
    },
    {
      title: 'fio zonemode=zbd writes zones and verifies them',
      bash: `
        d=$(block_device $nqn 2)
        fio_to zbd $d --zonemode=zbd --rw=write --bs=64k --iodepth=4 --size=24m --verify=crc32c --max_open_zones=4
        fio_to random $d --zonemode=zbd --rw=randwrite --bs=16k --iodepth=1 --io_size=16m --max_open_zones=4
        blkzone reset $d`,
      expect: ({ read }) => {
        for (const name of ['zbd', 'random']) {
          const [job] = fioReport(read(`${name}.json`)).jobs;
          expect(job.error).toBe(0);
          expect(job.write.total_ios).toBeGreaterThan(0);
        }
        expect(fioReport(read('zbd.json')).jobs[0].read.total_ios).toBeGreaterThan(0);
      },
    },
    {
      title: 'nvme zns: identify, report, append',
      bash: `
        d=$(block_device $nqn 2)
        nvme zns id-ns $d -o json >$out/id-ns.json
        nvme zns id-ctrl /dev/$(basename $(controller $nqn)) -o json >$out/id-ctrl.json
        head -c 4096 /dev/urandom >/tmp/data
        slba=$((zone_mib * 2048))
        nvme zns zone-append $d -s $slba -z 4096 -d /tmp/data | tee $out/append
        nvme zns zone-append $d -s $slba -z 4096 -d /tmp/data | tee -a $out/append
        dd if=$d bs=4096 skip=$((zone_mib * 256 + 1)) count=1 iflag=direct status=none | cmp - /tmp/data
        nvme zns report-zones $d -s $slba -d 1 | tee $out/report
        nvme zns reset-zone $d -a`,
      expect: ({ read, json }) => {
        const id = json('id-ns.json');
        expect([id.mar, id.mor]).toEqual([5, 3]);
        expect(read('append')).toMatch(/2000[\s\S]*2008/);
      },
    },
    {
      title: 'nvme io-passthru stores, retrieves, finds, lists and deletes on the generic device',
      bash: `
        kv=$(generic_device $nqn 3)
        # the key "key1", in dwords 2, 3, 14, 15
        key="--namespace-id=3 --cdw2=$((0x3179656b)) --cdw11=4"
        printf 'a value of twenty-one' >/tmp/value
        nvme io-passthru $kv --opcode=0x01 $key --cdw10=21 --data-len=21 --write --input-file=/tmp/value
        nvme io-passthru $kv --opcode=0x14 $key
        nvme io-passthru $kv --opcode=0x02 $key --cdw10=64 --data-len=64 --read --raw-binary 2>$out/said >/tmp/back
        cmp -n 21 /tmp/value /tmp/back
        nvme io-passthru $kv --opcode=0x06 --namespace-id=3 --cdw10=64 --data-len=64 --read --raw-binary >$out/list
        nvme io-passthru $kv --opcode=0x10 $key
        ! nvme io-passthru $kv --opcode=0x14 $key >$out/gone 2>&1 || complain 'it is still there'`,
      expect: ({ read }) => {
        expect(read('list').slice(0, 12)).toBe('\x01\0\0\0\x04\0key1\0\0');
        expect(read('gone')).toMatch(/87|key/i);
      },
    },
    {
      title: 'nvme io-passthru has blocks protected, checks them, and is told of those that are wrong',
      bash: `
        # Over TCP the kernel has no place for metadata: its disk is empty, and the generic device is what there is.
        [ $(bytes $(block_device $nqn 4)) = 0 ]
        protected=$(generic_device $nqn 4)
        nvme id-ns $protected -n 4 -o json >$out/id-ns.json
        head -c 4096 /dev/urandom >/tmp/data
        io() { nvme io-passthru $protected -n 4 --cdw10=$1 --cdw14=$1 --opcode=$2 --cdw12=$(($3 | 7)) \${@:4}; }
        act=0x20000000 check=0x14000000
        io 100 1 $act --data-len=4096 --write --input-file=/tmp/data
        io 100 2 $((act | check)) --data-len=4096 --read --raw-binary >/tmp/back
        cmp /tmp/data /tmp/back
        # Whole blocks, of 512 bytes and 8 of protection information.
        io 100 2 $check --data-len=4160 --read --raw-binary >/tmp/blocks
        for i in 0 7; do od -An -tx1 -j $((i * 520 + 514)) -N 6 /tmp/blocks; done | tee $out/tags
        io 200 1 0 --data-len=4160 --write --input-file=/tmp/blocks
        ! io 200 2 $check --data-len=4160 --read --raw-binary >/dev/null 2>$out/moved || complain 'wrong reference tags'
        printf x | dd of=/tmp/blocks bs=1 seek=600 conv=notrunc status=none
        ! io 100 1 $check --data-len=4160 --write --input-file=/tmp/blocks 2>$out/guard || complain 'a wrong guard'
        io 100 12 $check
        io 100 8 $act
        io 100 2 $((act | check)) --data-len=4096 --read --raw-binary | cmp - <(head -c 4096 /dev/zero)`,
      expect: ({ read, json }) => {
        const id = json('id-ns.json');
        expect([id.dps, id.dpc, id.mc, id.flbas]).toEqual([1, 0x11, 1, 0x10]);
        expect(
          read('tags')
            .trim()
            .split(/\s*\n\s*/),
        ).toEqual(['00 00 00 00 00 64', '00 00 00 00 00 6b']);
        expect(read('moved')).toMatch(/reference tag/i);
        expect(read('guard')).toMatch(/guard/i);
      },
    },
    {
      title: 'nvme copy, verify, and write-zeroes with DEAC',
      bash: `
        d=$(block_device $nqn 1)
        head -c 16384 /dev/urandom >/tmp/data
        dd if=/tmp/data of=$d bs=16k oflag=direct status=none
        for format in 0 1; do
          nvme copy $d --sdlba=$((1000 + format * 100)) --slbs=0,16 --blocks=7,15 --format=$format
          dd if=$d bs=512 skip=$((1000 + format * 100)) count=24 iflag=direct status=none >/tmp/copied
          cmp /tmp/copied <(head -c 4096 /tmp/data; tail -c +8193 /tmp/data | head -c 8192)
        done
        nvme verify $d -s 0 -c 31
        nvme write-zeroes $d -s 4 -c 7 --deac
        dd if=/dev/zero of=/tmp/data bs=512 seek=4 count=8 conv=notrunc status=none
        dd if=$d bs=16k count=1 iflag=direct status=none | cmp - /tmp/data
        ! nvme verify $d -s $(blockdev --getsz $d) -c 0 >$out/after 2>&1 || complain 'it was verified'`,
      expect: ({ read }) => expect(read('after')).toMatch(/LBA.*range|0x[0-9a-f]*80\)/i),
    },
  ],
  allowed: [
    /block device for nsid 3 not supported/,
    // the commands that are meant to fail
    /nvme\d+(?:c\d+)?n\d+: .*(?:LBA Out of Range|Key|Zone Invalid Write)/i,
    /(?:zone|I\/O|critical|blk_update_request).* error, dev nvme\d+(?:c\d+)?n2/,
    /Buffer I\/O error on dev nvme\d+n2/,
  ],
});
