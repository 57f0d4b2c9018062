// One process, one bdev, three clients at once: a guest over vfio-user, a guest over vhost-user, and the host library over NVMe/TCP.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { HostBed } from '../nvme-host/host-bed.ts';
import { VerifiedLoad } from '../nvme-host/verified-load.ts';
import { addPciFunction, findDisk, virtioDisk } from './disks.ts';
import { expectVerified, fioReport } from './fio.ts';
import { Guest, type GuestOptions } from './guest.ts';
import { unexpectedLines } from './kernel-log.ts';
import { eventually, freePort, listenAddress, Target } from './target.ts';

const MiB = 1 << 20;
const NQN = 'nqn.2024-01.io.spdk-ts:shared';
const BDEV = 'Shared';
const SEED = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
const BYTES = 2 * MiB;
const PIECE = MiB / 8;

/** Where each has its data; the load of the host library begins at block 0. */
const starts = { tcp: 0, pci: 8 * MiB, virtio: 16 * MiB };
type Client = keyof typeof starts;
const clients = Object.keys(starts) as Client[];
const inGuests = ['pci', 'virtio'] as const;
type InGuest = (typeof inGuests)[number];

/** What the clients say of their own data, once they have written and verified them. */
const sums = new Map<Client, string>();
const sumsOfAll = (): Promise<string> =>
  eventually(120, 'all clients have written', () => sums.size === clients.length).then(() =>
    clients.map((client) => `${sums.get(client)} ${starts[client] / MiB}`).join(' '),
  );

/** Guests that are about to write. */
let ready = 0;
let writing = false;
const allWrite = (): Promise<void> => {
  ready++;
  return eventually(120, 'all clients are there', () => writing).then(() => {});
};

const script = (client: InGuest, find: string): string => `${findDisk}
  modprobe nvme
  modprobe virtio_blk
  d() { ${find}; }
  wait_for 10 d
  d=$(d)
  sum() { dd if=$d bs=1M skip=$1 count=${BYTES / MiB} iflag=direct status=none | sha256sum | cut -d ' ' -f 1; }
  host ready
  fio_to report $d --verify=crc32c --rw=randwrite --bs=4k --iodepth=16 --offset=${starts[client]} --size=${BYTES}
  host mine $(sum ${starts[client] / MiB})
  set -- $(host sums)
  [ $# = ${2 * clients.length} ]
  while [ $# -gt 0 ]; do
    [ $(sum $2) = $1 ] || complain "at $2 MiB there is something else"
    shift 2
  done`;

let target: Target;
let bed: HostBed;
let port: number;
const guests = new Map<InGuest, Guest>();

async function boot(client: InGuest, find: string, options: Partial<GuestOptions>): Promise<void> {
  const mine = (sum: string): void => {
    sums.set(client, sum);
  };
  const host = { ready: allWrite, mine, sums: sumsOfAll };
  const scripts = [{ bash: script(client, find), host }];
  guests.set(client, await Guest.start({ variables: { nqn: NQN }, cpus: 1, scripts, ...options }));
}

/** Rejects as soon as a guest has failed; resolves when both have done everything. */
async function guestsSucceed(): Promise<void> {
  const each = [...guests.values()].map(async (guest) => {
    const { status, output, hostErrors } = await guest.result(0);
    expect(status, output).toBe(0);
    expect(hostErrors).toEqual([]);
  });
  await Promise.all(each);
}

/** What the host library does: verified load while the guests write, then a look at everybody's data. */
async function overTcp(): Promise<number> {
  await eventually(240, 'both guests are there', () => ready === inGuests.length);
  bed = await HostBed.start();
  const controller = await bed.connect(port, NQN);
  const qpair = await controller.openIoQueue();
  const load = new VerifiedLoad(bed, [qpair], SEED);
  writing = true;
  await eventually(120, 'the guests have written', () => sums.size === inGuests.length);
  await load.goesOn();
  await load.stop();
  const at = bed.place(PIECE);
  const sum = async (start: number): Promise<string> => {
    const hash = createHash('sha256');
    for (let done = 0; done < BYTES; done += PIECE) {
      expect(await bed.read(qpair, (start + done) / 512, at, PIECE)).toBe(0);
      hash.update(bed.memory.subarray(at, at + PIECE));
    }
    return hash.digest('hex');
  };
  for (const client of inGuests) expect(await sum(starts[client]), client).toBe(sums.get(client));
  sums.set('tcp', await sum(starts.tcp));
  await controller.close();
  return load.rounds;
}

beforeAll(async () => {
  target = await Target.start();
  port = await freePort();
  await target.createMalloc(BDEV, 32 * MiB);
  // A namespace claims the bdev, and what is claimed is opened for writing by nobody else: the disk comes first.
  await target.rpc('vhost_create_blk_controller', { ctrlr: BDEV, dev_name: BDEV });
  const socket = await addPciFunction(target, NQN, [BDEV], { disable_mappable_bar0: true });
  await target.rpc('nvmf_create_transport', { trtype: 'TCP' });
  await target.rpc('nvmf_subsystem_add_listener', { nqn: NQN, listen_address: listenAddress(port) });
  await boot('pci', 'block_device $nqn', { devices: [`vfio-user:${socket}`] });
  await boot('virtio', `disk ${BDEV}`, { qemu: [virtioDisk(target, BDEV, 'num-queues=1')] });
});

afterAll(async () => {
  await bed?.stop();
  for (const guest of guests.values()) await guest.dispose();
  await target?.dispose();
});

it(`each verifies what it writes while the others write, and reads what they have written (seed ${SEED})`, async () => {
  onTestFailed(() => console.error(target.output));
  const [rounds] = await Promise.all([overTcp(), guestsSucceed()]);
  expect(rounds).toBeGreaterThan(50);
  for (const guest of guests.values()) expectVerified(fioReport(guest.read(0, 'report.json')), BYTES / 4096);
  expect(new Set(sums.values()).size).toBe(clients.length);
});

it('a namespace has the bdev for itself: a disk that is made after it can only be read', async () => {
  const claimed = { ctrlr: 'late', dev_name: BDEV };
  await expect(target.rpc('vhost_create_blk_controller', claimed)).rejects.toThrow();
  await target.rpc('vhost_create_blk_controller', { ...claimed, readonly: true });
});

it('the kernels say nothing unusual, and nothing of them is left', async () => {
  for (const guest of guests.values()) {
    const { status, output, dmesg } = await guest.ended;
    expect(status, output).toBe(0);
    expect(dmesg).toContain('Command line');
    expect(unexpectedLines(dmesg)).toEqual([]);
  }
  await eventually(10, 'no controller', async () => (await target.controllers()).length === 0);
  expect(await target.stop()).toBe(0);
});
