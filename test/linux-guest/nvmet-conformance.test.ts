// The conformance suite over the kernel's own target, nvmet-tcp, in the guest: its deviations are told, not failed, and
// what the suite holds every target to must be what this one does where it matters most. NVMET_REPORT: where the report goes.
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { countOf, type Report, summary } from '../conformance/report.ts';
import { runAll } from '../conformance/run.ts';
import { DEFAULT_HOSTNQN } from '../host/index.ts';
import { Guest } from './guest.ts';
import { unexpectedLines } from './kernel-log.ts';
import { freePort } from './target.ts';

const GUEST_PORT = 4420;
const OPEN = 'nqn.2014-08.org.example:open';
const CLOSED = 'nqn.2014-08.org.example:closed';
const SEED = 1;

/** Two subsystems over memory disks, the second of which nobody may connect to. */
const serve = `
  modprobe nvmet-tcp
  modprobe brd rd_nr=2 rd_size=65536
  cd /sys/kernel/config/nvmet
  subsystem() { # subsystem NQN DEVICE ANYBODY
    mkdir subsystems/$1
    echo $3 >subsystems/$1/attr_allow_any_host
    mkdir subsystems/$1/namespaces/1
    echo -n $2 >subsystems/$1/namespaces/1/device_path
    echo 1 >subsystems/$1/namespaces/1/enable
  }
  subsystem ${OPEN} /dev/ram0 1
  subsystem ${CLOSED} /dev/ram1 0
  mkdir ports/1
  echo ipv4 >ports/1/addr_adrfam
  echo tcp >ports/1/addr_trtype
  echo 0.0.0.0 >ports/1/addr_traddr
  echo ${GUEST_PORT} >ports/1/addr_trsvcid
  ln -s /sys/kernel/config/nvmet/subsystems/${OPEN} ports/1/subsystems/
  ln -s /sys/kernel/config/nvmet/subsystems/${CLOSED} ports/1/subsystems/
  host serving`;

let guest: Guest;
let report: Report;
let port: number;

beforeAll(async () => {
  port = await freePort();
  guest = await Guest.start({
    forward: { [port]: GUEST_PORT },
    variables: {},
    seconds: 580,
    scripts: [
      {
        bash: serve,
        host: {
          serving: async () => {
            const address = {
              host: '127.0.0.1',
              port,
              subnqn: OPEN,
              hostnqn: DEFAULT_HOSTNQN,
              closedSubnqn: CLOSED,
            };
            report = await runAll(address, SEED);
          },
        },
      },
    ],
  });
});
afterAll(() => guest?.dispose());

it('is served, runs the whole suite, and tells what the kernel does otherwise', async () => {
  const result = await guest.result(0);
  if (result.hostErrors.length > 0) throw result.hostErrors[0];
  expect(result.status, result.output).toBe(0);
  console.log(summary(report));
  const path = process.env['NVMET_REPORT'];
  if (path !== undefined) writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
  const { findings } = report;
  expect(report.target.model).toMatch(/^Linux/);
  expect(findings.filter(({ verdict }) => verdict === 'not run')).toEqual([]);
  expect(countOf(findings, 'as expected')).toBeGreaterThan(countOf(findings, 'otherwise'));
});

it('a target that Linux hosts trust stores data, keeps digests, and refuses who is not allowed', async () => {
  await guest.result(0);
  const trusted =
    /^(?:io\.trip|io\.mdts|vector\.|pdu\.digest\.trip|connect\.(?:subnqn|hostnqn-not|sqhd)|sequence\.queue-full)/;
  const found = report.findings.filter(({ id }) => trusted.test(id));
  expect(found.length).toBeGreaterThan(10);
  expect(found.filter(({ verdict }) => verdict === 'otherwise' || verdict === 'not run')).toEqual([]);
});

it('the kernel has not complained of itself', async () => {
  const { dmesg } = await guest.ended;
  expect(unexpectedLines(dmesg, [/nvmet/])).toEqual([]);
});
