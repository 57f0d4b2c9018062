// fio in a Linux guest, over each way to a bdev that a virtual machine has, at our target and at SPDK's in turn: one boot for each
// side, kind of doorbells and number of reactors. The guest is emulated (QEMU's TCG) where there is no KVM: then figures compare
// with each other only.
//
//   node scripts/guest-fio.mjs [--spdk DIR] [--sides ours,spdk] [--doorbells mapped,shadow,trapped] [--reactors 1,2] [--time S] [--samples N]
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connectUnix } from '@spdk-ts/rpc';

const root = fileURLToPath(new URL('..', import.meta.url));
const list = (text) => text.split(',');
const { values } = parseArgs({
  options: {
    spdk: { type: 'string' },
    sides: { type: 'string' },
    doorbells: { type: 'string', default: 'mapped,shadow,trapped' },
    reactors: { type: 'string', default: '1,2' },
    time: { type: 'string', default: '5' },
    samples: { type: 'string', default: '1' },
  },
});
const sides = list(values.sides ?? (values.spdk === undefined ? 'ours' : 'spdk,ours'));
const time_s = Number(values.time);
const MALLOC_BYTES = 64 << 20;
const GUEST_S_MAX = 300;
const kinds = {
  mapped: {},
  shadow: { disable_mappable_bar0: true },
  trapped: { disable_mappable_bar0: true, disable_shadow_doorbells: true },
};
const nqn = (name) => `nqn.2026-11.io.spdk-ts.guest-fio:${name}`;

/** Starts a program on CPUs; `end` asks it to, and waits. */
function start(cores, argv) {
  const child = spawn('taskset', ['-c', cores.join(','), ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output = (output + chunk).slice(-4000);
    });
  const exited = new Promise((resolve) => child.on('close', resolve));
  return {
    exited,
    output: () => output,
    running: () => child.exitCode === null && child.signalCode === null,
    end: async () => {
      if (child.exitCode === null) child.kill('SIGINT');
      await exited;
    },
  };
}

function targetArgv(side, mask, folder) {
  const given = ['-m', mask, '-r', join(folder, 'rpc.sock'), '-S', folder];
  if (side === 'ours') return [process.execPath, join(root, 'apps/spdk-ts/bin/spdk-ts.js'), 'tgt', ...given];
  if (values.spdk === undefined)
    throw new Error('no SPDK: give the directory that it was built in with --spdk');
  const program = join(values.spdk, 'build/bin/spdk_tgt');
  return [program, ...given, '-s', '1280', '--no-pci', '--disable-cpumask-locks', '--silence-noticelog'];
}

async function connectRpc(target, path) {
  for (;;) {
    const client = await connectUnix(path, { timeout_ms: 60_000 }).catch(() => null);
    if (client !== null) return client;
    if (!target.running()) throw new Error(`the target has ended:\n${target.output()}`);
    await sleep(50);
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A namespace at a PCI function, one over TCP, and a virtio disk. Returns the TCP port. */
async function configure(client, folder, options) {
  const port = await freePort();
  const endpoint = join(folder, 'endpoint');
  mkdirSync(endpoint);
  await client.call('nvmf_create_transport', { trtype: 'VFIOUSER', ...options });
  await client.call('nvmf_create_transport', { trtype: 'TCP' });
  for (const name of ['pci', 'tcp', 'blk'])
    await client.call('bdev_malloc_create', { name, num_blocks: MALLOC_BYTES / 512, block_size: 512 });
  const addresses = {
    pci: { trtype: 'VFIOUSER', traddr: endpoint, trsvcid: '0' },
    tcp: { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: String(port) },
  };
  for (const [name, listen_address] of Object.entries(addresses)) {
    await client.call('nvmf_create_subsystem', { nqn: nqn(name), allow_any_host: true, serial_number: name });
    await client.call('nvmf_subsystem_add_ns', { nqn: nqn(name), namespace: { bdev_name: name } });
    await client.call('nvmf_subsystem_add_listener', { nqn: nqn(name), listen_address });
  }
  await client.call('vhost_create_blk_controller', { ctrlr: 'disk', dev_name: 'blk' });
  return port;
}

/** What the guest does: fio on each disk, with a job for each queue. */
function guestScript(port, jobs, ways) {
  const cpus = Array.from({ length: jobs }, (_, i) => i).join(',');
  const fio = [
    ...['fio', '--name=load', '--bs=4k', '--iodepth=32', '--ioengine=libaio', '--direct=1', '--time_based'],
    ...[`--runtime=${time_s}`, '--ramp_time=1', `--numjobs=${jobs}`, `--cpus_allowed=${cpus}`],
    ...['--cpus_allowed_policy=split', '--group_reporting', '--output-format=json'],
  ].join(' ');
  return `
set -e
. ${join(root, 'test/linux-guest/prelude.sh')}
modprobe nvme; modprobe nvme-tcp; modprobe virtio_blk
nvme connect -t tcp -a 127.0.0.1 -s ${port} -n ${nqn('tcp')} -i ${jobs}
for name in ${nqn('pci')} ${nqn('tcp')}; do wait_for 20 has_block_device $name; done
wait_for 10 test -b /dev/vda
${ways
  .flatMap(({ name, disk }) =>
    ['randread', 'randwrite'].map((rw) => `${fio} --rw=${rw} --filename="${disk}" >/job/${name}.${rw}.json`),
  )
  .join('\n')}
`;
}

const WAYS = {
  vhost: '/dev/vda',
  pci: `$(block_device ${nqn('pci')})`,
  tcp: `$(block_device ${nqn('tcp')})`,
};

/** One boot: IOPS by way and workload, and the traps per thousand I/Os of the PCI function where they are counted. */
async function sample(side, kind, reactors, withOthers) {
  const folder = mkdtempSync(join(tmpdir(), 'guest-fio-'));
  const job = join(folder, 'job');
  mkdirSync(job);
  const cores = reactors === 1 ? [0] : [0, 1];
  const target = start(cores, targetArgv(side, reactors === 1 ? '0x1' : '0x3', folder));
  try {
    const client = await connectRpc(target, join(folder, 'rpc.sock'));
    const port = await configure(client, folder, kinds[kind]);
    const names = withOthers ? ['pci', 'vhost', 'tcp'] : ['pci'];
    const script = join(job, 'run.sh');
    writeFileSync(
      script,
      guestScript(
        port,
        reactors,
        names.map((name) => ({ name, disk: WAYS[name] })),
      ),
    );
    const guest = start(
      [1],
      [
        ...[join(root, 'test/linux-guest/guest'), 'run', '-c', '2', '-l', '-j', job, '-t', `${GUEST_S_MAX}`],
        ...['-d', `vfio-user:${join(folder, 'endpoint', 'cntrl')}`],
        ...['-d', `vhost-user-blk:${join(folder, 'disk')}`, '--', 'bash', '/job/run.sh'],
      ],
    );
    const code = await guest.exited;
    if (code !== 0) throw new Error(`the guest failed (${code}):\n${guest.output()}\n${target.output()}`);
    const found = { traps: await trapsOf(client) };
    for (const name of names)
      for (const rw of ['randread', 'randwrite']) {
        const text = readFileSync(join(job, `${name}.${rw}.json`), 'utf8');
        const [{ read, write, error }] = JSON.parse(text.slice(text.search(/^{/m))).jobs;
        if (error !== 0) throw new Error(`fio ${rw} over ${name}: error ${error}`);
        found[`${name}.${rw}`] = read.iops + write.iops;
      }
    client.close();
    return found;
  } finally {
    await target.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of everything since the start, the guest's start included. Null: nobody counts. */
async function trapsOf(client) {
  const { poll_groups } = await client.call('nvmf_get_stats');
  const counts = poll_groups.flatMap(({ transports }) => transports.map((one) => one.doorbells_trapped));
  if (!counts.some((count) => count !== undefined)) return null;
  const trapped = counts.reduce((sum, count) => sum + (count ?? 0), 0);
  const { bdevs } = await client.call('bdev_get_iostat');
  const { num_read_ops, num_write_ops } = bdevs.find(({ name }) => name === 'pci');
  return (1000 * trapped) / Math.max(1, num_read_ops + num_write_ops);
}

const rows = new Map();
function note(row, side, value) {
  if (!rows.has(row)) rows.set(row, new Map(sides.map((name) => [name, []])));
  rows.get(row).get(side).push(value);
}

const doorbells = list(values.doorbells);
for (let round = 0; round < Number(values.samples); round++)
  for (const reactors of list(values.reactors).map(Number))
    for (const kind of doorbells)
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        console.error(`round ${round + 1}: ${side}, ${kind} doorbells, ${reactors} reactor(s)`);
        // Disks that have nothing to do with doorbells are measured once.
        const found = await sample(side, kind, reactors, kind === doorbells[0]);
        console.error(JSON.stringify(found));
        for (const [key, value] of Object.entries(found)) {
          if (value === null) continue;
          const [way, rw] = key.split('.');
          const label = { pci: `vfio-user, ${kind}`, vhost: 'vhost-user-blk', tcp: 'NVMe/TCP' }[way];
          if (way === 'traps') note(`traps per 1000 I/Os, ${kind}, ${reactors} reactor(s)`, side, value);
          else note(`${label}, ${rw}, ${reactors} reactor(s)`, side, value);
        }
      }

const figure = (value) =>
  value >= 1000 ? `${(value / 1000).toFixed(1)} K` : value.toFixed(value < 10 ? 1 : 0);
console.log(`| 4 KiB, QD 32 a queue | ${sides.join(' | ')} |\n|---|${sides.map(() => '---:|').join('')}`);
for (const [row, bySide] of rows)
  console.log(`| ${row} | ${sides.map((side) => bySide.get(side).map(figure).join(', ')).join(' | ')} |`);
