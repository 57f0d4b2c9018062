// Several paths and several hosts: native multipath with ANA, and reservations by nvme-cli.
import { join } from 'node:path';
import { expect } from 'vitest';
import { expectVerified, fioReport } from './fio.ts';
import { connectionEnds } from './kernel-log.ts';
import { guestSuite } from './suite.ts';
import { freePort, type Json, listenAddress, Target } from './target.ts';

const MiB = 1 << 20;
const paths = 'nqn.2024-01.io.spdk-ts:paths';
const shared = 'nqn.2024-01.io.spdk-ts:shared';
const ids = ['1', '2'].map((digit) => `00000000-0000-4000-8000-00000000000${digit}`);
let second = 0;
let other = 0;

guestSuite('sharing', {
  start: async (world) => {
    world.target = await Target.start();
    const { target } = world;
    world.port = await freePort();
    second = await freePort();
    other = await freePort();
    await target.createMalloc('m0', 64 * MiB);
    await target.createMalloc('m1', 32 * MiB);
    await target.createTransport();
    for (const [nqn, bdev_name, port] of [
      [paths, 'm0', world.port],
      [shared, 'm1', other],
    ] as const) {
      await target.rpc('nvmf_create_subsystem', {
        ...{ nqn, allow_any_host: true, ana_reporting: nqn === paths, serial_number: nqn.slice(-6) },
      });
      const ptpl_file = join(target.folder, `${bdev_name}.json`);
      await target.rpc('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name, ptpl_file } });
      await target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address: listenAddress(port) });
    }
    await target.rpc('nvmf_subsystem_add_listener', {
      ...{ nqn: paths, listen_address: listenAddress(second), ana_state: 'non_optimized' },
    });
    return { nqn: paths, shared, second, other, id1: ids[0]!, id2: ids[1]! };
  },
  // A path that is killed is reconnected to. Two hosts of one kernel share a block device: commands take those of their controllers.
  allowed: [
    ...[...connectionEnds, /failed to connect/, /queue_rq/],
    /using deprecated NVME_IOCTL_IO_CMD ioctl on the char device/,
  ],
  checks: (world) => {
    const setState = (port: () => number, ana_state: string) => async () => {
      await world.target.rpc('nvmf_subsystem_listener_set_ana_state', {
        ...{ nqn: paths, listen_address: listenAddress(port()), ana_state },
      });
    };
    const first = () => world.port;
    return [
      {
        title: 'two paths to a namespace have the states of their listeners',
        bash: `
          path_state() { cat /sys/class/nvme/nvme*/nvme*c*n*/ana_state 2>/dev/null | sort | tr '\\n' ' '; }
          attach $nqn --reconnect-delay=1 --ctrl-loss-tmo=60
          nvme connect -t tcp -a $address -s $second -n $nqn --reconnect-delay=1 --ctrl-loss-tmo=60
          wait_for 10 eval '[ "$(path_state)" = "non-optimized optimized " ]'
          nvme list-subsys | tee $out/subsys
          nvme ana-log /dev/$(basename $(controller $nqn)) -o json >$out/ana.json
          nvme id-ctrl /dev/$(basename $(controller $nqn)) -o json >$out/ctrl.json`,
        expect: ({ read, json }) => {
          expect(read('subsys').match(/ live/g)).toHaveLength(2);
          expect(json('ctrl.json')).toMatchObject({ anatt: 10, anacap: 7, anagrpmax: 32, nanagrpid: 32 });
          expect(JSON.stringify(json('ana.json'))).toContain('optimized');
        },
      },
      {
        title: 'paths become inaccessible and accessible under fio, and nothing is lost',
        bash: `
          d=$(block_device $nqn)
          fio_to report $d --verify=crc32c --rw=randwrite --bs=4k --iodepth=32 --size=32m --rate=,8m \\
            >$out/fio 2>&1 & pid=$!
          changes=0
          while kill -0 $pid 2>/dev/null; do
            sleep 0.4; host first_off
            sleep 0.4; host first_on
            sleep 0.2; host second_off
            sleep 0.2; host second_on
            changes=$((changes + 1))
          done
          [ $changes -ge 2 ] || complain "$changes changes only"
          wait $pid || complain "$(<$out/fio)"`,
        host: {
          first_off: setState(first, 'inaccessible'),
          first_on: setState(first, 'optimized'),
          second_off: setState(() => second, 'inaccessible'),
          second_on: setState(() => second, 'non_optimized'),
        },
        expect: ({ read }) => expectVerified(fioReport(read('report.json')), (32 * MiB) / 4096),
      },
      {
        title: 'a path is killed under fio: the other takes over, and it comes back',
        bash: `
          d=$(block_device $nqn)
          live() { cat /sys/class/nvme/nvme*/state | grep -c live; }
          fio_to report $d --verify=crc32c --rw=randwrite --bs=16k --iodepth=16 --size=32m --rate=,8m \\
            >$out/fio 2>&1 & pid=$!
          sleep 0.5
          host kill
          wait_for 10 eval '[ $(live) = 1 ]'
          sleep 0.5
          kill -0 $pid || complain "$(<$out/fio)"
          host revive
          wait_for 20 eval '[ $(live) = 2 ]'
          wait $pid || complain "$(<$out/fio)"
          leave`,
        host: {
          kill: async () => {
            await world.target.rpc('nvmf_subsystem_remove_listener', {
              ...{ nqn: paths, listen_address: listenAddress(world.port) },
            });
          },
          revive: async () => {
            await world.target.rpc('nvmf_subsystem_add_listener', {
              ...{ nqn: paths, listen_address: listenAddress(world.port) },
            });
          },
        },
        expect: ({ read }) => expectVerified(fioReport(read('report.json')), (32 * MiB) / 16384),
      },
      {
        title: 'reservations by nvme-cli, of two hosts in one kernel',
        bash: `
          host_device() { # the namespace as a host's controller has it
            local c
            for c in /sys/class/nvme/nvme*; do
              [ "$(cat $c/hostid)" = $1 ] && { echo /dev/$(basename $c); return; }
            done
            complain "no controller of host $1"
          }
          prefix=nqn.2014-08.org.nvmexpress:uuid
          for id in $id1 $id2; do
            # nvme-cli takes the second host for the first; the kernel does not
            to=transport=tcp,traddr=$address,trsvcid=$other,nqn=$shared
            echo "$to,hostnqn=$prefix:$id,hostid=$id" >/dev/nvme-fabrics
          done
          wait_for 10 eval 'host_device $id1 && host_device $id2'
          a=$(host_device $id1) b=$(host_device $id2)
          nvme id-ns $a -n 1 -o json >$out/ns.json
          nvme resv-register $a -n 1 --nrkey=0x1111 --rrega=0 --cptpl=3
          nvme resv-register $b -n 1 --nrkey=0x2222 --rrega=0
          nvme resv-acquire $a -n 1 --crkey=0x1111 --rtype=1 --racqa=0
          nvme resv-report $b -n 1 -e -o json | tee $out/report.json
          dd if=/dev/urandom of=/tmp/block bs=512 count=1 status=none
          nvme io-passthru $a -o 1 -n 1 -l 512 -w -i /tmp/block
          nvme io-passthru $b -o 2 -n 1 -l 512 -r -b >/dev/null
          ! nvme io-passthru $b -o 1 -n 1 -l 512 -w -i /tmp/block 2>&1 | tee $out/refused
          nvme resv-acquire $b -n 1 --crkey=0x2222 --prkey=0x1111 --rtype=3 --racqa=2
          ! nvme io-passthru $a -o 1 -n 1 -l 512 -w -i /tmp/block || complain 'it was preempted, and writes'
          nvme io-passthru $b -o 1 -n 1 -l 512 -w -i /tmp/block
          nvme resv-notif-log $a -o json >$out/notice.json
          nvme get-feature $a -n 1 -f 0x83 | tee $out/feature
          nvme resv-release $b -n 1 --crkey=0x2222 --rtype=3 --rrela=0
          nvme resv-register $b -n 1 --crkey=0x2222 --rrega=1
          nvme resv-report $b -n 1 -e -o json >$out/after.json`,
        expect: ({ read, json }) => {
          expect(json('ns.json').rescap).toBe(0xff);
          const report: Json = json('report.json');
          expect(report).toMatchObject({ rtype: 1, regctl: 2, ptpls: 1 });
          expect(read('refused')).toMatch(/RESERVATION_CONFLICT|Reservation Conflict/i);
          expect(json('notice.json')).toMatchObject({ nsid: 1 });
          expect(read('feature')).toMatch(/0x0*1\b/);
          expect(json('after.json')).toMatchObject({ rtype: 0, regctl: 0 });
        },
      },
    ];
  },
});
