// Two Linux machines at one target, at once: each with a namespace of its own, and both at one that they reserve.
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { expectVerified, fioReport } from './fio.ts';
import { Guest } from './guest.ts';
import { unexpectedLines } from './kernel-log.ts';
import { address, freePort, type Json, listenAddress, Target } from './target.ts';

const MiB = 1 << 20;
const NQN = 'nqn.2024-01.io.spdk-ts:both';
const SHARED = 1;
const hosts = [1, 2].map((digit) => {
  const hostid = `00000000-0000-4000-8000-00000000000${digit}`;
  return { hostid, hostnqn: `nqn.2014-08.org.nvmexpress:uuid:${hostid}`, own: SHARED + digit };
});

const MEETS_MS = 120_000;

/** Lets go who comes, once so many have come. */
class Meeting {
  private here: (() => void)[] = [];
  readonly come = async (): Promise<void> => {
    const late = new AbortController();
    const all = new Promise<void>((resolve) => {
      this.here.push(resolve);
      if (this.here.length < hosts.length) return;
      for (const go of this.here) go();
      this.here = [];
    });
    const missed = setTimeout(MEETS_MS, true, { signal: late.signal }).catch(() => false);
    if ((await Promise.race([all, missed])) === true) throw new Error('the other did not come');
    late.abort();
  };
}

const useOwn = `
  modprobe nvme-tcp
  wait_for 5 test -e /dev/nvme-fabrics
  attach $nqn --hostnqn=$hostnqn --hostid=$hostid -k 60
  wait_for 10 has_block_device $nqn $own
  lacks_block_device $nqn $other
  host meet
  fio_to report $(block_device $nqn $own) --verify=crc32c --rw=randrw --bs=4k --iodepth=16 --size=16m
  host meet
  lacks_block_device $nqn $other`;

/** The first host reserves, the second one is kept from writing, and then takes the reservation away. */
const shareOne = [
  `
  wait_for 10 has_block_device $nqn
  d=$(block_device $nqn)
  nvme resv-register $d -n 1 --nrkey=0x1111 --rrega=0
  nvme resv-acquire $d -n 1 --crkey=0x1111 --rtype=1 --racqa=0
  host meet
  # the other one tries
  dd if=/dev/zero of=$d bs=4096 count=8 oflag=direct status=none
  host meet
  # ... and preempts
  host meet
  ! dd if=/dev/zero of=$d bs=4096 count=1 oflag=direct status=none 2>$out/refused || complain 'it was written'
  nvme resv-report $d -n 1 -e -o json >$out/report.json
  host meet
  leave`,
  `
  wait_for 10 has_block_device $nqn
  d=$(block_device $nqn)
  host meet
  ! dd if=/dev/zero of=$d bs=4096 count=1 oflag=direct status=none 2>$out/refused || complain 'it was written'
  dd if=$d of=/dev/null bs=4096 count=8 iflag=direct status=none
  host meet
  nvme resv-register $d -n 1 --nrkey=0x2222 --rrega=0
  nvme resv-acquire $d -n 1 --crkey=0x2222 --prkey=0x1111 --rtype=1 --racqa=2
  host meet
  dd if=/dev/zero of=$d bs=4096 count=8 oflag=direct status=none
  nvme resv-report $d -n 1 -e -o json >$out/report.json
  host meet
  leave`,
];

let target: Target;
let guests: Guest[] = [];

beforeAll(async () => {
  target = await Target.start();
  const port = await freePort();
  await target.createTransport();
  await target.rpc('nvmf_create_subsystem', { nqn: NQN, allow_any_host: true, serial_number: 'BOTH' });
  for (const nsid of [SHARED, ...hosts.map(({ own }) => own)]) {
    await target.createMalloc(`m${nsid}`, 32 * MiB);
    const namespace = { bdev_name: `m${nsid}`, nsid, no_auto_visible: nsid !== SHARED };
    await target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace });
  }
  for (const { hostnqn, own } of hosts)
    await target.rpc('nvmf_ns_add_host', { nqn: NQN, nsid: own, host: hostnqn });
  await target.rpc('nvmf_subsystem_add_listener', { nqn: NQN, listen_address: listenAddress(port) });
  const meetings = [new Meeting(), new Meeting()];
  guests = await Promise.all(
    hosts.map((host, i) =>
      Guest.start({
        variables: { address, port, nqn: NQN, ...host, other: hosts[1 - i]!.own },
        cpus: 1,
        scripts: [useOwn, shareOne[i]!].map((bash, check) => ({
          bash,
          host: { meet: meetings[check]!.come },
        })),
      }),
    ),
  );
});

afterAll(async () => {
  for (const guest of guests) await guest.dispose();
  await target?.dispose();
});

const bothDid = async (check: number): Promise<void> => {
  onTestFailed(() =>
    console.error(`--- target (${target.running ? 'running' : 'ended'}):\n${target.output}---`),
  );
  const results = await Promise.all(guests.map((guest) => guest.result(check)));
  const said = results
    .map(({ status, output }) => `(exit status ${status})\n${output}`)
    .join('\n--- the other ---\n');
  expect(
    results.map(({ status }) => status),
    said,
  ).toEqual([0, 0]);
  expect(results.flatMap(({ hostErrors }) => hostErrors)).toEqual([]);
};

it('each sees what it may see, and verifies what it writes there while the other does', async () => {
  await bothDid(0);
  for (const guest of guests) expectVerified(fioReport(guest.read(0, 'report.json')), (16 * MiB) / 4096);
});

it('one reserves a namespace, the other is kept from writing until it has preempted', async () => {
  await bothDid(1);
  for (const guest of guests) {
    expect(guest.read(1, 'refused')).toMatch(/Invalid exchange|Input\/output error/);
    const report: Json = JSON.parse(guest.read(1, 'report.json'));
    expect(report).toMatchObject({ rtype: 1, regctl: 1 });
    expect(Number(report.regctlext[0].rkey)).toBe(0x2222);
  }
});

it('the kernels say nothing unusual, and nothing of them is left', async () => {
  for (const guest of guests) {
    const { status, output, dmesg } = await guest.ended;
    expect(status, output).toBe(0);
    expect(
      unexpectedLines(dmesg, [
        /reservation conflict error, dev nvme0c?\d*n\d|I\/O Cmd\(0x1\) .*sct 0x0 \/ sc 0x83/,
      ]),
    ).toEqual([]);
  }
  expect(await target.controllers()).toEqual([]);
  expect(await target.stop()).toBe(0);
});
