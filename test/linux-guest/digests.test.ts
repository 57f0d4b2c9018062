// Header and data digests: agreed on, sent, and checked at both ends, as damage on the way shows.
import { expect } from 'vitest';
import { expectVerified, fioReport } from './fio.ts';
import { type Check, guestSuite } from './suite.ts';
import { freePort, Target } from './target.ts';
import { C2H_TERM_REQ, H2C_TERM_REQ, Relay, type Seen, type Victim } from './wire.ts';

const MiB = 1 << 20;
const nqn = 'nqn.2024-01.io.spdk-ts:digests';
let relay: Relay;

const modes = [
  { options: '', agreed: 0 },
  { options: '-g', agreed: 1 },
  { options: '-G', agreed: 2 },
  { options: '-g -G', agreed: 3 },
];

const agreement = ({ options, agreed }: (typeof modes)[number]): Check => ({
  title: `connected with ${options || 'neither -g nor -G'}, every PDU has the digests agreed on, and the data are right`,
  bash: `
    leave
    host begin
    attach $nqn -i 2 ${options}
    d=$(block_device $nqn)
    # data in the capsule and, after R2T, beside it
    fio_to small $d --verify=crc32c --rw=randwrite --bs=4k --iodepth=32 --size=2m
    fio_to large $d --verify=crc32c --rw=randrw --bs=128k --iodepth=8 --size=8m
    detach $nqn
    host seen >$out/seen.json`,
  host: {
    begin: () => {
      relay.connections = [];
    },
    seen: () => JSON.stringify(relay.connections),
  },
  expect: ({ read, json }) => {
    expectVerified(fioReport(read('small.json')), 512);
    expectVerified(fioReport(read('large.json')), 64);
    const seen: Seen[] = json('seen.json');
    expect(seen.map((s) => s.qid)).toEqual([0, 1, 2]);
    for (const s of seen) {
      expect([s.asked, s.agreed]).toEqual([agreed, agreed]);
      expect([s.pdus[H2C_TERM_REQ], s.pdus[C2H_TERM_REQ]]).toEqual([0, 0]);
      expect(s.withHeaderDigest).toEqual(agreed & 1 ? s.pdus : s.pdus.map(() => 0));
      expect(s.withDataDigest).toEqual(agreed & 2 ? s.withData : s.pdus.map(() => 0));
    }
    // capsules with data, H2C data, C2H data: all three were there to be looked at
    for (const type of [4, 6, 7]) expect(seen.reduce((n, s) => n + s.withData[type]!, 0)).toBeGreaterThan(0);
  },
});

/** How the damage comes to light, in the words of the kernel: none where the target answers with a status. */
const cases: { victim: Victim; bytes: number; act: 'write' | 'read'; said?: string }[] = [
  { victim: 'data in a capsule', bytes: 4096, act: 'write' },
  { victim: 'H2C data', bytes: 131072, act: 'write' },
  { victim: 'C2H data', bytes: 131072, act: 'read', said: 'data digest error' },
  { victim: 'a command', bytes: 4096, act: 'read', said: 'Successfully reconnected' },
  { victim: 'a response', bytes: 4096, act: 'write', said: 'header digest error' },
];

const damage = ({ victim, bytes, act, said }: (typeof cases)[number]): Check => ({
  title: `damage to ${victim} is noticed, and made good`,
  bash: `
    d=$(block_device $nqn)
    head -c ${bytes} /dev/urandom >/tmp/data
    if [ ${act} = read ]; then dd if=/tmp/data of=$d bs=${bytes} count=1 oflag=direct status=none; fi
    from=$(kernel_lines)
    host damage
    if [ ${act} = read ]; then
      dd if=$d of=/tmp/back bs=${bytes} count=1 iflag=direct status=none
      cmp /tmp/data /tmp/back
    else
      dd if=/tmp/data of=$d bs=${bytes} count=1 oflag=direct status=none
    fi
    host damaged
    ${said ? `wait_for 10 kernel_said '${said}' $from` : ''}
    wait_for 20 is_live $nqn
    dd if=$d of=/tmp/back bs=${bytes} count=1 iflag=direct status=none
    cmp /tmp/data /tmp/back`,
  host: {
    damage: () => relay.damage(victim),
    damaged: () => expect(relay.damaged).toBe(1),
  },
});

guestSuite('digests', {
  start: async (world) => {
    world.target = await Target.start();
    const targetPort = await freePort();
    await world.target.createMalloc('m0', 64 * MiB);
    await world.target.export(nqn, ['m0'], targetPort);
    world.port = await freePort();
    relay = await Relay.start(world.port, targetPort);
    return { nqn };
  },
  stop: () => relay?.stop(),
  checks: () => [
    ...modes.map(agreement),
    {
      title: 'reads of blocks that are being written have the right digest, however long they take to send',
      bash: `
        leave
        attach $nqn -G
        d=$(block_device $nqn)
        from=$(kernel_lines)
        # before the windows have grown: on one queue more is read than kernels take for a host that does not
        # listen, and on the other some of what waits is written
        host hold
        fio_to read $d --rw=read --bs=128k --iodepth=96 --size=12m --cpus_allowed=0 >$out/read 2>&1 & read=$!
        sleep 1
        fio_to write $d --rw=write --bs=4k --iodepth=64 --offset=8m --size=256k --cpus_allowed=1 >$out/write 2>&1 & write=$!
        sleep 1
        host release
        wait $read || complain "$(<$out/read)"
        wait $write || complain "$(<$out/write)"
        is_live $nqn
        ! kernel_said 'digest' $from || complain "$(dmesg | tail)"`,
      host: {
        hold: () => relay.hold(),
        release: () => relay.release(),
      },
      expect: ({ read }) => {
        expect(fioReport(read('read.json')).jobs[0].read.total_ios).toBe(96);
        expect(fioReport(read('write.json')).jobs[0].write.total_ios).toBe(64);
      },
    },
    {
      title: 'connected again with both',
      bash: 'leave; attach $nqn -g -G --reconnect-delay=1 --ctrl-loss-tmo=60',
    },
    ...cases.map(damage),
  ],
  allowed: [
    /nvme nvme\d+: (?:queue \d+: )?(?:header|data) digest (?:error|mismatch|flag)/,
    /nvme nvme\d+: (?:starting error recovery|Reconnecting in|Successfully reconnected|failed to send request|queue \d+|receive failed|Received C2HTermReq \(FES = Header Digest Error\)|long keepalive RTT|failed nvme_keep_alive_end_io|I\/O tag|reading)/,
    /nvme\d+(?:c\d+)?n1: I\/O Cmd\(0x[12]\) .*(?:sc 0x22|sc 0x4)\b/,
    /block nvme\d+n\d+: no usable path - requeuing I\/O/,
  ],
});
