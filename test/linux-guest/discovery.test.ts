// Finding and joining subsystems, as an administrator does.
import { expect } from 'vitest';
import { guestSuite, type Output } from './suite.ts';
import { address, freePort, type Json, listenAddress, Target } from './target.ts';

const MiB = 1 << 20;
const first = 'nqn.2024-01.io.spdk-ts:first';
const second = 'nqn.2024-01.io.spdk-ts:second';
const closed = 'nqn.2024-01.io.spdk-ts:closed';
const discovery = 'nqn.2014-08.org.nvmexpress.discovery';
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-00000000beef';
let otherPort = 0;

guestSuite('discovery and connection', {
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    otherPort = await freePort();
    const { target } = world;
    for (const name of ['m0', 'm1', 'm2']) await target.createMalloc(name, 32 * MiB);
    await target.export(first, ['m0'], world.port, 'FIRST');
    await target.export(second, ['m1'], world.port, 'SECOND');
    // a second way to the same one
    await target.rpc('nvmf_subsystem_add_listener', {
      nqn: second,
      listen_address: listenAddress(otherPort),
    });
    // one that the guest is not on the list of
    await target.export(closed, ['m2'], world.port, 'CLOSED');
    await target.rpc('nvmf_subsystem_allow_any_host', { nqn: closed, allow_any_host: false });
    return { first, second, closed, discovery, otherPort, hostnqn };
  },

  checks: (world) => {
    const discoveryListener = (what: 'add' | 'remove'): Promise<undefined> =>
      world.target
        .rpc(`nvmf_subsystem_${what}_listener`, {
          ...{ nqn: discovery, listen_address: listenAddress(world.port) },
        })
        .then(() => undefined);
    const referral = (what: 'add' | 'remove'): Promise<undefined> =>
      world.target
        .rpc(`nvmf_discovery_${what}_referral`, { address: listenAddress(otherPort) })
        .then(() => undefined);
    return [
      {
        title: 'nvme discover lists every listener of what the host may use, and nothing else',
        bash: `
        leave
        nvme discover -t tcp -a $address -s $port | tee $out/discover.txt
        nvme discover -t tcp -a $address -s $port -o json >$out/discover.json
        wait_for 5 no_nvme_device`,
        expect: ({ read, json }) => {
          expect(read('discover.txt')).toContain('Discovery Log Number of Records 3');
          const found = json('discover.json').records.map(
            (r: Json) => `${r.subnqn} ${r.traddr}:${r.trsvcid}`,
          );
          expect(found.sort()).toEqual(
            [
              `${first} ${address}:${world.port}`,
              `${second} ${address}:${world.port}`,
              `${second} ${address}:${otherPort}`,
            ].sort(),
          );
          for (const record of json('discover.json').records)
            expect(record).toMatchObject({ trtype: 'tcp', adrfam: 'ipv4', subtype: 'nvme subsystem' });
        },
      },
      {
        title: 'a persistent discovery controller hears of every change, and a referral leads on',
        bash: `
        leave
        host listen
        nvme discover -t tcp -a $address -s $port --persistent -o json >$out/first.json
        wait_for 5 is_live $discovery
        device=$(basename $(controller $discovery))
        for change in refer unrefer; do
          python3 -c 'if True:
        import socket
        events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
        events.bind((0, 1))
        events.settimeout(20)
        print("listening", flush=True)
        while True:
            event = events.recv(65536).split(b"\\0")
            found = [entry.decode() for entry in event if entry.startswith(b"NVME_AEN=")]
            if found:
                print(found[0], flush=True)
                break
        ' >$out/$change.event &
          wait_for 10 grep -q listening $out/$change.event
          host $change
          wait_for 10 grep -q NVME_AEN $out/$change.event
          nvme discover -d $device -o json >$out/$change.json
          # that retains the event: the next one comes once the page is read without
          nvme get-log /dev/$device --log-id=0x70 --log-len=1024 >/dev/null
        done
        host controllers >$out/controllers.json
        nvme disconnect -d $device
        no_nvme_device
        host stop_listening`,
        host: {
          listen: () => discoveryListener('add'),
          stop_listening: () => discoveryListener('remove'),
          refer: () => referral('add'),
          unrefer: () => referral('remove'),
          controllers: async () => JSON.stringify(await world.target.controllers()),
        },
        expect: ({ read, json }) => {
          const count = (name: string, subtype: RegExp) =>
            json(name).records.filter((record: Json) => subtype.test(record.subtype)).length;
          expect(count('first.json', /nvme subsystem/)).toBe(3);
          expect(count('first.json', /current/)).toBe(1);
          // A notice (2h), F0h, of log page 70h.
          for (const change of ['refer', 'unrefer'])
            expect(read(`${change}.event`)).toContain('NVME_AEN=0x70f002');
          expect([count('refer.json', /referral/), count('unrefer.json', /referral/)]).toEqual([1, 0]);
          expect(json('refer.json').genctr).toBe(json('first.json').genctr + 1);
          expect(json('unrefer.json').genctr).toBe(json('refer.json').genctr + 1);
          expect(json('controllers.json')).toEqual([expect.objectContaining({ hostnqn, num_io_qpairs: 0 })]);
        },
      },
      {
        title: 'nvme connect-all connects to all of them',
        bash: `
        leave
        nvme connect-all -t tcp -a $address -s $port
        wait_for 10 has_block_device $first
        wait_for 10 has_block_device $second
        lacks_block_device $closed
        wait_for 10 eval '[ $(grep -lx live /sys/class/nvme/nvme*/state | wc -l) = 3 ]'
        nvme list | tee $out/list.txt
        nvme list-subsys | tee $out/list-subsys.txt
        { basename $(block_device $first); basename $(block_device $second); } >$out/devices
        for s in /sys/class/nvme-subsystem/*; do echo $(<$s/subsysnqn) $(<$s/serial); done >$out/serials
        host controllers >$out/controllers.json
        leave`,
        host: { controllers: async () => JSON.stringify(await world.target.controllers()) },
        expect: ({ read, json }) => {
          const [m0, m1] = read('devices').trim().split('\n');
          const list = read('list.txt').split('\n');
          expect(list.find((line) => line.startsWith(`/dev/${m0} `))).toMatch(/ FIRST .* 512 +B/);
          expect(list.find((line) => line.startsWith(`/dev/${m1} `))).toMatch(/ SECOND .* 512 +B/);
          expect(list.filter((line) => line.startsWith('/dev/'))).toHaveLength(2);
          expect(read('serials').trim().split('\n').sort()).toEqual([`${first} FIRST`, `${second} SECOND`]);
          const subsystems = read('list-subsys.txt');
          for (const port of [world.port, otherPort])
            expect(subsystems).toMatch(new RegExp(`tcp traddr=${address},trsvcid=${port}.* live`));
          expect(json('controllers.json')).toHaveLength(3);
          for (const controller of json('controllers.json')) expect(controller).toMatchObject({ hostnqn });
        },
      },
      ...[1, 2].map((queues) => ({
        title: `nvme connect with -i ${queues} makes ${queues} I/O queue${queues > 1 ? 's' : ''}`,
        bash: `
        leave
        attach $first -i ${queues} -Q ${queues * 32}
        cat $(controller $first)/queue_count >$out/queue_count
        cat $(controller $first)/sqsize >$out/sqsize
        cat $(controller $first)/cntlid >$out/cntlid
        host controllers >$out/controllers.json
        host qpairs >$out/qpairs.json
        dd if=$(block_device $first) of=/dev/null bs=1M count=8 iflag=direct status=none
        detach $first`,
        host: {
          controllers: async () => JSON.stringify(await world.target.controllers()),
          qpairs: async () =>
            JSON.stringify(await world.target.rpc('nvmf_subsystem_get_qpairs', { nqn: first })),
        },
        expect: ({ read, json }: Output) => {
          expect(Number(read('queue_count'))).toBe(queues + 1);
          expect(Number(read('sqsize'))).toBe(queues * 32 - 1);
          const cntlid = Number(read('cntlid'));
          expect(json('controllers.json')).toEqual([expect.objectContaining({ cntlid, hostnqn })]);
          const qpairs = json('qpairs.json');
          expect(qpairs.map((q: Json) => q.qid).sort()).toEqual(
            Array.from({ length: queues + 1 }, (_, i) => i),
          );
          for (const qpair of qpairs) expect(qpair).toMatchObject({ cntlid, hostnqn });
        },
      })),
      {
        title: 'a host that is not on the list is turned away until it is',
        bash: `
        leave
        ! nvme connect -t tcp -a $address -s $port -n $closed || complain 'it was let in'
        no_nvme_device
        host invite
        attach $closed --reconnect-delay=1
        host turn_out
        # whether the kernel is told to give up or goes on trying, it gets in no more
        wait_for 10 is_not_live $closed
        sleep 3
        is_not_live $closed
        host controllers
        leave`,
        host: {
          invite: () =>
            world.target.rpc('nvmf_subsystem_add_host', { nqn: closed, host: hostnqn }).then(() => {}),
          turn_out: () =>
            world.target.rpc('nvmf_subsystem_remove_host', { nqn: closed, host: hostnqn }).then(() => {}),
          controllers: async () => expect(await world.target.controllers()).toEqual([]),
        },
      },
      {
        title: 'a subsystem that is not there is refused, and the others still work',
        bash: `
        leave
        ! nvme connect -t tcp -a $address -s $port -n nqn.2024-01.io.spdk-ts:absent || complain 'it is there?'
        ! nvme connect -t tcp -a $address -s $otherPort -n $closed || complain 'it has no listener there'
        no_nvme_device
        attach $first
        detach $first
        no_nvme_device`,
      },
      {
        title: 'connecting and disconnecting ten times leaves nothing behind',
        bash: `
        leave
        for i in {1..10}; do
          attach $second
          [ "$(bytes $(block_device $second))" = ${32 * MiB} ]
          detach $second
        done
        no_nvme_device`,
      },
    ];
  },
  allowed: [
    // connect and reconnect of a host that is not welcome
    /nvme nvme\d+: Connect (?:Invalid Data Parameter|for subsystem .* is not allowed|command failed)/,
    /nvme nvme\d+: failed to connect queue: 0 ret=\d+/,
    /nvme nvme\d+: (?:starting error recovery|queue \d+ socket state|Reconnecting in|Failed reconnect attempt|Removing controller \(16772\))/,
    /nvme nvme\d+: Property Set error: 880, offset 0x14/,
  ],
});
