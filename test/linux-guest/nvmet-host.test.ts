// Our host at the kernel's own target, nvmet-tcp, in the guest: data of all sizes, digests, queues, authentication, a port that goes
// away under load.
import { Random } from '@spdk-ts/env';
import { connect, type NvmeOptions } from '@spdk-ts/nvme';
import { formatDhchapSecret } from '@spdk-ts/nvme-auth';
import { crc32c, DISCOVERY_NQN } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HostBed } from '../nvme-host/host-bed.ts';
import { fill, sweep } from '../nvme-host/sweep.ts';
import { Guest } from './guest.ts';
import { unexpectedLines } from './kernel-log.ts';
import { freePort } from './target.ts';

const GUEST_PORT = 4420;
const OPEN = 'nqn.2014-08.org.example:open';
const AUTH = 'nqn.2014-08.org.example:auth';
const HOST = 'nqn.2014-08.org.nvmexpress:uuid:6f3b5c1e-9f0a-4a53-8d57-0c1d2e3f4a5b';
const SECRET = formatDhchapSecret({ hash: 1, key: new Uint8Array(32).fill(0x3c) });
const CTRLR = formatDhchapSecret({ hash: 2, key: new Uint8Array(48).fill(0x3d) });
const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);

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
  subsystem ${AUTH} /dev/ram1 0
  mkdir hosts/${HOST}
  echo '${SECRET}' >hosts/${HOST}/dhchap_key
  echo '${CTRLR}' >hosts/${HOST}/dhchap_ctrl_key
  echo ffdhe2048 >hosts/${HOST}/dhchap_dhgroup
  ln -s /sys/kernel/config/nvmet/hosts/${HOST} subsystems/${AUTH}/allowed_hosts/
  mkdir ports/1
  echo ipv4 >ports/1/addr_adrfam
  echo tcp >ports/1/addr_trtype
  echo 0.0.0.0 >ports/1/addr_traddr
  echo ${GUEST_PORT} >ports/1/addr_trsvcid
  ln -s /sys/kernel/config/nvmet/subsystems/${AUTH} ports/1/subsystems/
  ln -s /sys/kernel/config/nvmet/subsystems/${OPEN} ports/1/subsystems/
  host serving
  rm ports/1/subsystems/${OPEN}
  host gone
  ln -s /sys/kernel/config/nvmet/subsystems/${OPEN} ports/1/subsystems/
  host back`;

let guest: Guest;
let bed: HostBed;
let port: number;
const seen: Record<string, unknown> = {};

const trid = (nqn: string): string => `trtype:TCP traddr:127.0.0.1 trsvcid:${port} subnqn:${nqn}`;

async function data(options: Partial<NvmeOptions>, queues: number, depth = 4): Promise<void> {
  const controller = await bed.connect(port, OPEN, options);
  const random = new Random(SEED);
  const most = 512 / Math.max(1, depth / 16);
  const sizes = Array.from({ length: Math.max(96, 2 * depth) }, (_, i) => (1 + ((i * 37) % most)) * 512);
  if (depth < 16) sizes.push(128 * 1024, 256 * 1024, 512 * 1024);
  const all = [];
  for (let i = 0; i < queues; i++)
    all.push(sweep(bed, await controller.openIoQueue(), sizes, depth, random, i * 8192));
  await Promise.all(all);
  await controller.close();
}

async function serving(): Promise<void> {
  await data({}, 8);
  await data({}, 1, 1);
  await data({}, 2, 128);
  await data({ header_digest: true, data_digest: true }, 1);
  await data({ disable_sq_flow_control: true, io_queue_size: 8 }, 1);
  const open = await connect(trid(OPEN), { hostnqn: HOST });
  seen['model'] = (await open.identify()).mn.trim();
  seen['blocks'] = open.namespaces.map(({ num_blocks, block_size }) => num_blocks * block_size);
  await open.close();
  const discovery = await connect(trid(DISCOVERY_NQN), { hostnqn: HOST });
  seen['discovery'] = discovery.controller.discovery;
  await discovery.close();
  const keys = { hostnqn: HOST, dhchap_key: SECRET, dhchap_ctrlr_key: CTRLR };
  const proved = await connect(trid(AUTH), keys);
  seen['proved'] = (await proved.namespace(1).read(0, 1)).length;
  await proved.close();
  seen['refused'] = await connect(trid(AUTH), { ...keys, dhchap_key: CTRLR }).then(
    () => 'connected',
    (error: Error & { code: string }) => error.code,
  );
}

/** A load that goes on while the port is away: set by `gone`, ended by `back`. */
let ended: Promise<void> = Promise.resolve();
let stopping = false;

async function gone(): Promise<void> {
  await expect(bed.connect(port, OPEN, { connect_timeout_ms: 2000 })).rejects.toThrow();
}

beforeAll(async () => {
  port = await freePort();
  bed = await HostBed.start();
  guest = await Guest.start({
    forward: { [port]: GUEST_PORT },
    variables: {},
    seconds: 580,
    scripts: [
      {
        bash: serve,
        host: {
          serving: async () => {
            await serving();
            await startLoad();
          },
          gone,
          back,
        },
      },
    ],
  });
});
afterAll(async () => {
  await bed?.stop();
  await guest?.dispose();
});

async function startLoad(): Promise<void> {
  const options = { ctrlr_loss_timeout_ms: 120_000, reconnect_delay_ms: 50, connect_timeout_ms: 2000 };
  const controller = await bed.connect(port, OPEN, options);
  const qpair = await controller.openIoQueue();
  const events = controller.events[Symbol.asyncIterator]();
  ended = (async () => {
    let failed = 0;
    const random = new Random(SEED);
    const from = bed.place(4096);
    const to = bed.place(4096);
    while (!stopping || failed === 0) {
      const wanted = fill(bed, random, from, 4096);
      const written = await bed.write(qpair, 0, from, 4096).catch(() => -1);
      if (written === 0) {
        const read = await bed.read(qpair, 0, to, 4096).catch(() => -1);
        if (read === 0) {
          expect(crc32c(bed.memory, to, to + 4096)).toBe(wanted);
          continue;
        }
      }
      failed++;
      expect((await events.next()).value?.type).toBe('disconnected');
      expect((await events.next()).value?.type).toBe('connected');
    }
    seen['outages'] = failed;
    await controller.close();
  })();
  ended.catch(() => {});
}

async function back(): Promise<void> {
  stopping = true;
  await ended;
  await data({}, 1);
}

it(`all of it (seed ${SEED})`, async () => {
  const result = await guest.result(0);
  if (result.hostErrors.length > 0) throw result.hostErrors[0];
  expect(result.status, result.output).toBe(0);
  expect(seen).toEqual({
    ...{ model: 'Linux', blocks: [64 * 1024 * 1024], discovery: true, proved: 512 },
    outages: expect.any(Number),
    // The kernel tells why, unless it has shut the connection down before that could leave.
    refused: expect.stringMatching(/^(EAUTH|ECONNECT)$/),
  });
});

it('the kernel has not complained of itself', async () => {
  const { dmesg } = await guest.ended;
  expect(unexpectedLines(dmesg, [/nvmet/])).toEqual([]);
});
