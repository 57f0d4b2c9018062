// Single NVMe commands, resets, and hosts that are silent for a while.
import { expect } from 'vitest';
import { expectVerified, fioReport } from './fio.ts';
import { guestSuite } from './suite.ts';
import { eventually, freePort, Target } from './target.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:commands';

guestSuite('commands', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    await world.target.createMalloc('m0', 64 * MiB);
    await world.target.export(nqn, ['m0'], world.port);
    return { nqn };
  },
  checks: (world) => [
    {
      title: 'nvme write and nvme read',
      bash: `
        attach $nqn -k 5 --reconnect-delay=1
        d=$(block_device $nqn)
        # one block in the capsule, and more than a capsule holds
        for blocks in 1 8 128; do
          head -c $((blocks * 512)) /dev/urandom >/tmp/data
          nvme write $d -s 1000 -c $((blocks - 1)) -z $((blocks * 512)) -d /tmp/data
          nvme read $d -s 1000 -c $((blocks - 1)) -z $((blocks * 512)) -d /tmp/back
          cmp /tmp/data /tmp/back
          # and the block layer reads the same
          dd if=$d bs=512 skip=1000 count=$blocks iflag=direct status=none | cmp - /tmp/data
        done`,
    },
    {
      title: 'nvme write-zeroes: zeroes there, and nowhere else',
      bash: `
        d=$(block_device $nqn)
        head -c 65536 /dev/urandom >/tmp/data
        dd if=/tmp/data of=$d bs=64k oflag=direct status=none
        nvme write-zeroes $d -s 9 -c 20
        dd if=/dev/zero of=/tmp/data bs=512 seek=9 count=21 conv=notrunc status=none
        dd if=$d bs=64k count=1 iflag=direct status=none | cmp - /tmp/data`,
    },
    {
      title: 'nvme dsm deallocates, as many ranges as the target says it takes',
      bash: `
        d=$(block_device $nqn)
        head -c 65536 /dev/urandom >/tmp/data
        dd if=/tmp/data of=$d bs=64k oflag=direct status=none
        most=$(nvme nvm-id-ctrl /dev/$(basename $(controller $nqn)) | sed -n 's/^dmrl *: *//p') || most=0
        echo "limit: $most"
        if [ "\${most:-0}" = 1 ]; then
          nvme dsm $d --ad --slbs=4 --blocks=2
          nvme dsm $d --ad --slbs=100 --blocks=8
        else
          nvme dsm $d --ad --slbs=4,100 --blocks=2,8
        fi
        for range in '4 2' '100 8'; do
          set -- $range
          dd if=/dev/zero of=/tmp/data bs=512 seek=$1 count=$2 conv=notrunc status=none
        done
        dd if=$d bs=64k count=1 iflag=direct status=none | cmp - /tmp/data`,
    },
    {
      title: 'nvme compare tells equal from different',
      bash: `
        d=$(block_device $nqn)
        for blocks in 8 128; do
          head -c $((blocks * 512)) /dev/urandom >/tmp/data
          dd if=/tmp/data of=$d bs=$((blocks * 512)) seek=1 oflag=direct status=none
          nvme compare $d -s $blocks -c $((blocks - 1)) -z $((blocks * 512)) -d /tmp/data
          # the last byte; 'x' becomes 'y', anything else 'x'
          last=x
          [ "$(tail -c 1 /tmp/data)" != x ] || last=y
          printf $last | dd of=/tmp/data bs=1 seek=$((blocks * 512 - 1)) conv=notrunc status=none
          ! nvme compare $d -s $blocks -c $((blocks - 1)) -z $((blocks * 512)) -d /tmp/data >$out/said.$blocks 2>&1 ||
            complain 'it did not see the difference'
        done`,
      expect: ({ read }) => {
        for (const blocks of [8, 128])
          expect(read(`said.${blocks}`)).toMatch(/compare.failure|0x[0-9a-f]*285/i);
      },
    },
    {
      title: 'nvme flush',
      bash: `
        nvme flush $(block_device $nqn)
        sync $(block_device $nqn)`,
    },
    {
      title: 'a block beyond the end is refused',
      bash: `
        d=$(block_device $nqn)
        end=$(blockdev --getsz $d)
        nvme read $d -s $((end - 1)) -c 0 -z 512 -d /tmp/back
        ! nvme read $d -s $end -c 0 -z 512 -d /tmp/back >$out/after 2>&1 || complain 'it was read'
        ! nvme read $d -s $((end - 1)) -c 1 -z 1024 -d /tmp/back >$out/across 2>&1 || complain 'it was read'
        ! nvme write-zeroes $d -s $end -c 0 >$out/zeroes 2>&1 || complain 'it was zeroed'`,
      expect: ({ read }) => {
        for (const name of ['after', 'across', 'zeroes'])
          expect(read(name)).toMatch(/LBA.*range|0x[0-9a-f]*80\)/i);
      },
    },
    {
      title: 'nvme reset, idle and while fio runs',
      bash: `
        c=/dev/$(basename $(controller $nqn))
        # no word of it in the log of a kernel that resets an idle one
        from=$(kernel_lines)
        nvme reset $c
        wait_for 10 is_live $nqn
        wait_for 10 kernel_said 'creating 2 I/O queues' $from
        fio_to report $(block_device $nqn) --verify=crc32c --rw=randwrite --bs=4k --iodepth=32 --size=24m \\
          --rate=,4m >$out/fio 2>&1 & pid=$!
        for i in 1 2 3; do
          sleep 1.5
          kill -0 $pid
          nvme reset $c
          wait_for 10 is_live $nqn
        done
        wait $pid || complain "$(<$out/fio)"
        host qpairs`,
      host: {
        // the old ones are gone
        qpairs: async () =>
          eventually(5, 'three queue pairs', async () => {
            const qpairs = await world.target.rpc('nvmf_subsystem_get_qpairs', { nqn });
            if (qpairs.length !== 3) throw new Error(JSON.stringify(qpairs));
            return true;
          }),
      },
      expect: ({ read }) => expectVerified(fioReport(read('report.json')), (24 * MiB) / 4096),
    },
    {
      title: 'a host that is idle for longer than its keep alive time stays connected',
      bash: `
        from=$(kernel_lines)
        before=$(<$(controller $nqn)/cntlid)
        sleep 12
        is_live $nqn
        [ $(<$(controller $nqn)/cntlid) = $before ]
        [ "$(dmesg | tail -n +$((from + 1)))" = '' ] || complain "$(dmesg | tail -n +$((from + 1)))"
        dd if=$(block_device $nqn) of=/dev/null bs=4k count=1 iflag=direct status=none`,
    },
    {
      title: 'a host that hangs for longer loses its controller, and gets another when it comes to',
      bash: `
        d=$(block_device $nqn)
        fio_to before $d --verify=crc32c --do_verify=0 --rw=write --bs=64k --iodepth=8 --size=4m
        from=$(kernel_lines)
        host hang
        # noticed by what it does next, or by the closed connection
        wait_for 20 kernel_said 'Successfully reconnected' $from
        is_live $nqn
        fio_to after $d --verify=crc32c --rw=read --bs=64k --iodepth=8 --size=4m`,
      host: {
        hang: async () => {
          world.guest.freeze();
          try {
            expect(await world.target.controllers()).toHaveLength(1);
            await eventually(25, 'the target gives the controller up', async () => {
              return (await world.target.controllers()).length === 0;
            });
          } finally {
            world.guest.thaw();
          }
        },
      },
      expect: ({ read }) => {
        expect(fioReport(read('after.json')).jobs[0].read.total_ios).toBe(64);
      },
    },
  ],
  allowed: [
    /nvme nvme\d+: (?:resetting controller|starting error recovery|Reconnecting in|Successfully reconnected|reading|queue \d+: |failed to send request|I\/O tag|long keepalive RTT|failed nvme_keep_alive_end_io)/,
    // the commands that are meant to fail
    /nvme\d+n\d+: .*(?:Compare Failure|LBA Out of Range)/i,
    /block nvme\d+n\d+: no usable path - requeuing I\/O/,
    /Property Set error: 880/,
  ],
});
