/** Discovery that follows referrals and changes: two targets that refer to each other, and to nobody at all. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Discovered,
  DiscoveryService,
  parseTransportId,
  readDiscoveryLog,
  resolveTarget,
} from '@spdk-ts/nvme';
import { formatDhchapSecret } from '@spdk-ts/nvme-auth';
import { adminOpcode, DISCOVERY_NQN, encodeDiscoveryLog, viewOf } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, freePort, type Json, listenAddress, Target } from '../linux-guest/target.ts';
import { HostBed } from '../nvme-host/host-bed.ts';
import { ScriptTarget } from '../nvme-host/script-target.ts';

const nqn = (name: string): string => `nqn.2026-11.io.spdk-ts:${name}`;

let one: Target;
let two: Target;
let front: Target;
/** Ports of the two, and one that nobody listens at. */
let ports: [number, number];
let silent: number;

const refer = (target: Target, port: number) =>
  target.rpc('nvmf_discovery_add_referral', { address: listenAddress(port) });
const forget = (target: Target, port: number) =>
  target.rpc('nvmf_discovery_remove_referral', { address: listenAddress(port) });

async function offer(target: Target, port: number, name: string): Promise<void> {
  await target.rpc('bdev_null_create', { name, num_blocks: 2048, block_size: 512 });
  await target.export(nqn(name), [name], port);
}

beforeAll(async () => {
  [one, two, front] = [await Target.start(), await Target.start(), await Target.start()];
  ports = [await freePort(), await freePort()];
  silent = await freePort();
  await offer(one, ports[0], 'a');
  await offer(two, ports[1], 'b');
  await refer(one, ports[1]);
  // Back, to itself, and to nobody.
  await refer(two, ports[0]);
  await refer(two, ports[1]);
  await refer(two, silent);
});
afterAll(async () => {
  for (const target of [front, one, two]) {
    await target?.stop();
    await target?.dispose();
  }
});

const at = (port: number): string => `trtype:TCP traddr:127.0.0.1 trsvcid:${port}`;

it('nvme-ts discover --referrals asks each discovery controller once', async () => {
  const bin = fileURLToPath(new URL('../../apps/nvme/bin/nvme-ts.js', import.meta.url));
  const run = (...args: string[]): Promise<string> =>
    new Promise((resolve, reject) =>
      execFile(
        process.execPath,
        [bin, 'discover', `${at(ports[0])} subnqn:${DISCOVERY_NQN}`, ...args],
        (error, out) => (error === null ? resolve(out) : reject(error)),
      ),
    );
  const found = JSON.parse(await run('--referrals', '-o', 'json'));
  const subsystems = ({ records }: Json): string[] =>
    records.filter(({ subtype }: Json) => subtype === 'nvme subsystem').map(({ subnqn }: Json) => subnqn);
  expect(subsystems(found)).toEqual([nqn('a')]);
  expect(found.referrals.map(({ trid }: Json) => Number(trid.trsvcid))).toEqual([ports[1], silent]);
  expect(subsystems(found.referrals[0])).toEqual([nqn('b')]);
  expect(found.referrals[1].error).toContain('ECONNREFUSED');
  const text = await run('--referrals');
  expect(text.match(/^Referred to .*$/gm)).toHaveLength(2);
  expect(JSON.parse(await run('-o', 'json')).referrals).toBe(undefined);
});

it('the service tells what is known, and every change of it', async () => {
  const bed = await HostBed.start();
  const seen: Discovered[] = [];
  const target = await resolveTarget(parseTransportId(`${at(ports[0])} subnqn:${DISCOVERY_NQN}`));
  const service = new DiscoveryService(bed.group, target, (found) => seen.push(found));
  const names = (): string[] =>
    seen.at(-1)?.subsystems.map(({ subnqn }) => subnqn.replace(nqn(''), '')) ?? [];
  const known = (...wanted: string[]) =>
    eventually(10, `${wanted} are known`, () => names().sort().join() === wanted.join());
  try {
    await eventually(10, 'everything has been read', () => seen.at(-1)?.settled === true);
    expect(names().sort()).toEqual(['a', 'b']);
    expect(seen.at(-1)!.referrals.map(({ trsvcid }) => Number(trsvcid))).toEqual([ports[1], silent]);
    expect(seen.at(-1)!.problems).toEqual([expect.stringContaining('ECONNREFUSED')]);
    // Of the controller that was asked, and of one that it refers to.
    await one.export(nqn('a2'), [], ports[0]);
    await two.export(nqn('b2'), [], ports[1]);
    await known('a', 'a2', 'b', 'b2');
    await forget(one, ports[1]);
    await known('a', 'a2');
    expect(seen.at(-1)!.referrals).toEqual([]);
    await eventually(10, 'the other is left', async () => (await discoveryControllers(two)) === 0);
    await refer(one, ports[1]);
    await known('a', 'a2', 'b', 'b2');
    await one.rpc('nvmf_delete_subsystem', { nqn: nqn('a2') });
    await two.rpc('nvmf_delete_subsystem', { nqn: nqn('b2') });
    await known('a', 'b');
    // A controller that is lost is looked for; what it knew holds until it has been read again.
    const config = await two.config();
    two = await two.replaceBy(config);
    await two.export(nqn('b3'), [], ports[1]);
    await known('a', 'b', 'b3');
    await two.rpc('nvmf_delete_subsystem', { nqn: nqn('b3') });
    await known('a', 'b');
  } finally {
    await service.close();
    expect(await discoveryControllers(one)).toBe(0);
    await bed.stop();
  }
});

const discoveryControllers = async (target: Target): Promise<number> =>
  (await target.rpc('nvmf_subsystem_get_controllers', { nqn: DISCOVERY_NQN })).length;

const start = (more: object = {}) => ({
  ...{ name: 'D', trtype: 'TCP', traddr: '127.0.0.1', trsvcid: String(ports[0]), wait_for_attach: true },
  ...more,
});
const bdevs = async (): Promise<string[]> =>
  (await front.rpc('bdev_get_bdevs')).map(({ name }: Json) => name).sort();
const become = (...wanted: string[]) =>
  eventually(15, `bdevs become ${wanted}`, async () => (await bdevs()).join() === wanted.join());
const nvmeCalls = async (): Promise<string[]> =>
  (await front.config()).subsystems
    .flatMap(({ config }: Json) => config)
    .map(({ method }: Json) => method)
    .filter((method: string) => method.startsWith('bdev_nvme_') && method !== 'bdev_nvme_set_options');

it('bdev_nvme_start_discovery attaches what is named, and detaches what is not any more', async () => {
  expect(await front.rpc('bdev_nvme_start_discovery', start())).toBe(true);
  expect(await bdevs()).toEqual(['D0n1', 'D1n1']);
  const [info] = await front.rpc('bdev_nvme_get_discovery_info');
  expect(info).toMatchObject({
    name: 'D',
    trid: { trtype: 'TCP', adrfam: 'IPv4', trsvcid: String(ports[0]), subnqn: DISCOVERY_NQN },
    referrals: [{ trid: { trsvcid: String(ports[1]) } }, { trid: { trsvcid: String(silent) } }],
  });
  for (const again of [start(), start({ name: 'E' })])
    await expect(front.rpc('bdev_nvme_start_discovery', again)).rejects.toMatchObject({ code: -17 });
  await offer(two, ports[1], 'c');
  await become('D0n1', 'D1n1', 'D2n1');
  await one.rpc('nvmf_subsystem_remove_listener', { nqn: nqn('a'), listen_address: listenAddress(ports[0]) });
  await become('D1n1', 'D2n1');
  await one.rpc('nvmf_subsystem_add_listener', { nqn: nqn('a'), listen_address: listenAddress(ports[0]) });
  await become('D0n1', 'D1n1', 'D2n1');
  // The saved configuration has the service, and not what it has found.
  expect(await nvmeCalls()).toEqual(['bdev_nvme_start_discovery']);
  const config = await front.config();
  front = await front.replaceBy(config);
  expect(await bdevs()).toEqual(['D0n1', 'D1n1', 'D2n1']);
  expect(await front.config()).toEqual(config);
  await two.rpc('nvmf_delete_subsystem', { nqn: nqn('c') });
  await become('D0n1', 'D1n1');
  expect(await front.rpc('bdev_nvme_stop_discovery', { name: 'D' })).toBe(true);
  expect(await bdevs()).toEqual([]);
  expect(await front.rpc('bdev_nvme_get_discovery_info')).toEqual([]);
  expect(await discoveryControllers(one)).toBe(0);
  await expect(front.rpc('bdev_nvme_stop_discovery', { name: 'D' })).rejects.toMatchObject({ code: -19 });
});

it('says what cannot be discovered', async () => {
  const refused = (more: object) => expect(front.rpc('bdev_nvme_start_discovery', start(more))).rejects;
  await refused({ trsvcid: String(silent), attach_timeout_ms: 300 }).toMatchObject({
    code: -110,
    message: expect.stringContaining('ECONNREFUSED'),
  });
  await refused({ trtype: 'RDMA' }).toThrow('no RDMA');
  await refused({ reconnect_delay_sec: 3 }).toThrow('need a ctrlr_loss_timeout_sec');
  // What is named and cannot be attached: what was attached before it is detached again.
  const hostnqn = nqn('host');
  const path = join(one.folder, 'key');
  writeFileSync(path, formatDhchapSecret({ hash: 1, key: new Uint8Array(32).fill(7) }), { mode: 0o600 });
  await one.rpc('keyring_file_add_key', { name: 'key', path });
  await one.rpc('nvmf_create_subsystem', { nqn: nqn('shut'), serial_number: 'SHUT' });
  await one.rpc('nvmf_subsystem_add_listener', { nqn: nqn('shut'), listen_address: listenAddress(ports[0]) });
  await one.rpc('nvmf_subsystem_add_host', { nqn: nqn('shut'), host: hostnqn, dhchap_key: 'key' });
  await refused({ hostnqn }).toMatchObject({
    code: -5,
    message: expect.stringContaining('requires DH-HMAC-CHAP'),
  });
  expect(await front.rpc('bdev_nvme_get_discovery_info')).toEqual([]);
  expect(await bdevs()).toEqual([]);
  // Without wait_for_attach it is looked for as long as it takes.
  await front.rpc('bdev_nvme_start_discovery', start({ trsvcid: String(silent), wait_for_attach: false }));
  await one.rpc('nvmf_subsystem_add_listener', { nqn: nqn('a'), listen_address: listenAddress(silent) });
  await eventually(10, 'it is there', async () => (await bdevs()).length > 0);
  await front.rpc('bdev_nvme_stop_discovery', { name: 'D' });
});

it('a log that changes while it is read is read again, and one that always does is given up', async () => {
  const target = await ScriptTarget.start();
  const bed = await HostBed.start();
  try {
    const records = (genctr: number) =>
      Array.from({ length: 6 }, (_, i) => ({
        portid: i + 1,
        subnqn: nqn(`g${genctr}`),
        trsvcid: `${genctr}`,
      }));
    let asked = 0;
    /** The generation that the log is of when it is asked for the nth time. */
    let generation = (n: number): number => (n < 3 ? 1 : 2);
    target.script = {
      answer({ qid, opcode, sqe }) {
        if (qid !== 0 || opcode !== adminOpcode.getLogPage) return null;
        const genctr = generation(asked++);
        const view = viewOf(sqe);
        const from = view.getUint32(48, true);
        const bytes = ((view.getUint32(40, true) >>> 16) + 1) * 4;
        return { data: encodeDiscoveryLog(genctr, records(genctr)).slice(from, from + bytes) };
      },
    };
    const controller = await bed.connect(target.port, DISCOVERY_NQN);
    const log = await readDiscoveryLog(controller.admin);
    expect([log.genctr, log.entries.length]).toEqual([2, 6]);
    // None is of the log that was being read when it changed.
    expect(new Set(log.entries.map(({ subnqn }) => subnqn))).toEqual(new Set([nqn('g2')]));
    generation = (n) => n;
    await expect(readDiscoveryLog(controller.admin)).rejects.toThrow(
      'the discovery log changes faster than it can be read',
    );
    await controller.close();
  } finally {
    await bed.stop();
    await target.stop();
  }
});

it('a discovery service that wants DH-HMAC-CHAP is read with the key, and not without', async () => {
  const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:6f3b5c1e-9f0a-4a53-8d57-0c1d2e3f4a5b';
  const target = await Target.start();
  try {
    const port = await freePort();
    await offer(target, port, 'guarded');
    const key = formatDhchapSecret({ hash: 1, key: new Uint8Array(32).fill(9) });
    const other = formatDhchapSecret({ hash: 1, key: new Uint8Array(32).fill(8) });
    const path = join(target.folder, 'host');
    writeFileSync(path, key, { mode: 0o600 });
    await target.rpc('keyring_file_add_key', { name: 'host', path });
    await target.rpc('nvmf_subsystem_add_listener', {
      ...{ nqn: DISCOVERY_NQN, listen_address: listenAddress(await freePort()) },
    });
    await target.rpc('nvmf_subsystem_add_host', { nqn: DISCOVERY_NQN, host: hostnqn, dhchap_key: 'host' });
    const bin = fileURLToPath(new URL('../../apps/nvme/bin/nvme-ts.js', import.meta.url));
    const discover = (...args: string[]): Promise<string> =>
      new Promise((resolve) =>
        execFile(
          process.execPath,
          [
            bin,
            'discover',
            `${at(port)} subnqn:${DISCOVERY_NQN}`,
            '--hostnqn',
            hostnqn,
            '-o',
            'json',
            ...args,
          ],
          (_, out, err) => resolve(out + err),
        ),
      );
    const found = JSON.parse(await discover('--dhchap-secret', key));
    expect(found.records.map(({ subnqn }: Json) => subnqn)).toContain(nqn('guarded'));
    expect(await discover()).toContain('requires DH-HMAC-CHAP');
    expect(await discover('--dhchap-secret', other)).toContain('the controller refuses');
  } finally {
    await target.stop();
    await target.dispose();
  }
});
