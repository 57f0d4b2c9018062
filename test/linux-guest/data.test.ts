// Every byte comes back: fio writes with a CRC32C in each block and reads all of it again.
import { expect } from 'vitest';
import { expectVerified, fioReport } from './fio.ts';
import { type Check, guestSuite } from './suite.ts';
import { freePort, type Json, Target } from './target.ts';

const KiB = 1 << 10;
const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:data';

/** Bytes to write at each block size and depth: enough to fill the queue, little enough for an emulated CPU. */
const amount: Record<string, Record<number, number>> = {
  '512': { 1: MiB / 4, 32: MiB, 128: 2 * MiB },
  '4k': { 1: 2 * MiB, 32: 8 * MiB, 128: 8 * MiB },
  '64k': { 1: 8 * MiB, 32: 16 * MiB, 128: 16 * MiB },
  '1m': { 1: 8 * MiB, 32: 48 * MiB, 128: 48 * MiB },
};
const bytesOf: Record<string, number> = { '512': 512, '4k': 4 * KiB, '64k': 64 * KiB, '1m': MiB };

const matrix: Check[] = ['randwrite', 'randrw'].flatMap((rw) =>
  Object.entries(amount).flatMap(([bs, depths]) =>
    Object.entries(depths).map(([depth, size]) => ({
      title: `${rw} of ${bs} blocks at depth ${depth}`,
      bash: `
        fio_to report $(block_device $nqn) --verify=crc32c --rw=${rw} --bs=${bs} --iodepth=${depth} --size=${size}
        is_live $nqn`,
      expect: ({ read }) => expectVerified(fioReport(read('report.json')), size / bytesOf[bs]!),
    })),
  ),
);

guestSuite('data on two queues', {
  cpus: 2,
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    await world.target.createMalloc('m0', 64 * MiB);
    await world.target.export(nqn, ['m0'], world.port);
    return { nqn };
  },
  checks: (world) => [
    { title: 'nvme connect', bash: 'attach $nqn' },
    ...matrix,
    {
      title: 'the target counted what the host did',
      bash: 'host iostat >$out/iostat.json',
      host: {
        iostat: async () => JSON.stringify(await world.target.rpc('bdev_get_iostat', { names: ['m0'] })),
      },
      expect: ({ json }) => {
        const [stat] = json('iostat.json').bdevs;
        // half of it in randrw
        const total = Object.values(amount)
          .flatMap((d) => Object.values(d))
          .reduce((a, b) => a + b);
        expect(stat.bytes_written).toBeGreaterThanOrEqual(total * 1.25);
        expect(stat.bytes_read).toBeGreaterThanOrEqual(total * 2);
      },
    },
    {
      title: 'fio sees a block that was changed behind its back',
      bash: `
        d=$(block_device $nqn)
        fio_to before $d --verify=crc32c --rw=write --bs=4k --iodepth=32 --size=1m
        printf x | dd of=$d bs=1 seek=$((300 * 1024 + 77)) conv=notrunc,fsync status=none
        ! fio_to after $d --verify=crc32c --rw=read --bs=4k --iodepth=32 --size=1m >$out/said 2>&1 || complain 'it did not'
        grep -q 'verify failed at .* offset 307200' $out/said || complain "it failed otherwise: $(<$out/said)"`,
    },
    {
      title: 'written data is still there after disconnecting and connecting, at other sizes and depths',
      bash: `
        d=$(block_device $nqn)
        fio_to written $d --verify=crc32c --do_verify=0 --rw=randwrite --bs=16k --iodepth=16 --size=16m
        sum=$(head -c 64M $d | sha256sum)
        detach $nqn
        attach $nqn -i 1 -Q 16
        d=$(block_device $nqn)
        [ "$(dd if=$d bs=1M iflag=direct status=none | sha256sum)" = "$sum" ]
        fio_to read $d --verify=crc32c --rw=randread --bs=16k --iodepth=64 --size=16m`,
      expect: ({ read }) => {
        expect(fioReport(read('written.json')).jobs[0].write.total_ios).toBe(1024);
        expect(fioReport(read('read.json')).jobs[0].read.total_ios).toBe(1024);
      },
    },
    {
      title: 'blocks of many lengths, from buffers that do not lie on pages',
      bash: `
        fio_to odd $(block_device $nqn) --verify=crc32c --rw=write --bsrange=512-300k --iodepth=32 --size=8m \\
          --iomem_align=512`,
      expect: ({ read }) => {
        const [job] = fioReport(read('odd.json')).jobs;
        expect(job.error).toBe(0);
        expect(job.write.io_bytes).toBe(8 * MiB);
        expect(job.read.io_bytes).toBe(8 * MiB);
      },
    },
  ],
});

guestSuite('data on four queues', {
  cpus: 4,
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    await world.target.createMalloc('small', 64 * MiB, 512);
    await world.target.createMalloc('large', 64 * MiB, 4096);
    await world.target.export(nqn, ['small', 'large'], world.port);
    return { nqn };
  },
  checks: (world) => [
    {
      title: 'nvme connect makes a queue for every CPU, and the target spreads them over its reactors',
      bash: `
        attach $nqn
        wait_for 10 has_block_device $nqn 2
        cat $(controller $nqn)/queue_count >$out/queue_count
        host qpairs >$out/qpairs.json
        host reactors >$out/reactors`,
      host: {
        qpairs: async () => JSON.stringify(await world.target.rpc('nvmf_subsystem_get_qpairs', { nqn })),
        reactors: () => world.target.servingReactors(),
      },
      expect: ({ read, json }) => {
        expect(Number(read('queue_count'))).toBe(5);
        const qpairs: Json[] = json('qpairs.json');
        expect(qpairs.map((q) => q.qid).sort()).toEqual([0, 1, 2, 3, 4]);
        expect(new Set(qpairs.map((q) => q.thread)).size).toBe(Number(read('reactors')));
      },
    },
    {
      title: 'every CPU writes a region of its own at once',
      bash: `
        fio_to four $(block_device $nqn) --verify=crc32c --rw=randwrite --bs=4k --iodepth=32 --size=4m \\
          --offset_increment=4m --numjobs=4 --thread --cpus_allowed=0-3 --cpus_allowed_policy=split --group_reporting`,
      expect: ({ read }) => expectVerified(fioReport(read('four.json')), (4 * 4 * MiB) / 4096),
    },
    {
      title: 'all of them on one queue',
      bash: `
        fio_to one $(block_device $nqn) --verify=crc32c --rw=randrw --bs=8k --iodepth=32 --size=4m \\
          --offset_increment=4m --numjobs=4 --thread --cpus_allowed=3 --group_reporting`,
      expect: ({ read }) => expectVerified(fioReport(read('one.json')), (4 * 4 * MiB) / 8192),
    },
    {
      title: 'two namespaces at once, one of them with 4096-byte blocks',
      bash: `
        for n in 1 2; do
          fio_to n$n $(block_device $nqn $n) --verify=crc32c --rw=randwrite --bs=4k --iodepth=64 --size=8m \\
            --randseed=$n & pids[n]=$!
        done
        wait \${pids[1]}
        wait \${pids[2]}
        # neither holds what the other should
        for n in 1 2; do
          fio_to r$n $(block_device $nqn $n) --verify=crc32c --rw=randread --bs=4k --iodepth=16 --size=8m --randseed=$n
        done
        ! cmp -s -n 8M $(block_device $nqn 1) $(block_device $nqn 2) || complain 'they are the same'`,
      expect: ({ read }) => {
        for (const n of [1, 2]) {
          expectVerified(fioReport(read(`n${n}.json`)), 2048);
          expect(fioReport(read(`r${n}.json`)).jobs[0].read.total_ios).toBe(2048);
        }
      },
    },
    ...(['4k', '64k', '1m'] as const).map(
      (bs): Check => ({
        title: `randrw of ${bs} on 4096-byte blocks`,
        bash: `fio_to report $(block_device $nqn 2) --verify=crc32c --rw=randrw --bs=${bs} --iodepth=32 --size=16m`,
        expect: ({ read }) => expectVerified(fioReport(read('report.json')), (16 * MiB) / bytesOf[bs]!),
      }),
    ),
    {
      title: 'half a block is refused where blocks have 4096 bytes',
      bash: `! dd if=$(block_device $nqn 2) of=/dev/null bs=512 count=1 iflag=direct 2>&1 || complain 'it was read'`,
    },
  ],
});
