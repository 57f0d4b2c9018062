// DH-HMAC-CHAP with the kernel's host and nvme-cli's keys: hash functions, groups, both directions, changed keys.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Check, guestSuite, type World } from './suite.ts';
import { freePort, type Json, listenAddress, Target } from './target.ts';

const nqn = 'nqn.2024-01.io.spdk-ts:auth';
const host = 'nqn.2014-08.org.nvmexpress:uuid:7e1b7a46-2b6f-4c2d-9c56-0d0a9d5d7c11';

const digests = ['sha256', 'sha384', 'sha512'];
const groups = ['null', 'ffdhe2048', 'ffdhe3072', 'ffdhe4096', 'ffdhe6144', 'ffdhe8192'];
/** A key for each hash function that transforms keys: its number for nvme-cli and its length. */
const keys = [
  [0, 32],
  [1, 32],
  [2, 48],
  [3, 64],
] as const;

/**
 * The kernel tests a group when it first uses it, which takes an emulated one longer than its usual keep alive timeout; that
 * is also the time that a host has from one message to the next.
 */
const connect = (options: string): string => `attach ${nqn} -q ${host} -i 2 -k 60 ${options}`;

/** Takes the keys that the guest has made for the host's and the controller's. */
const takeKeys =
  (world: World) =>
  async (text: string): Promise<void> => {
    const { target } = world;
    const known: Json[] = await target.rpc('keyring_get_keys');
    const [hostKey, ctrlrKey] = text.split(' ');
    const names: Record<string, string> = {};
    for (const [role, content] of [
      ['dhchap_key', hostKey],
      ['dhchap_ctrlr_key', ctrlrKey],
    ] as const) {
      if (content === undefined || content === '') continue;
      const name = `${role}${known.length}`;
      const path = join(target.folder, name);
      writeFileSync(path, content, { mode: 0o600 });
      await target.rpc('keyring_file_add_key', { name, path });
      names[role] = name;
    }
    await target.rpc('nvmf_subsystem_remove_host', { nqn, host });
    await target.rpc('nvmf_subsystem_add_host', { nqn, host, ...names });
  };

const qpairs = (world: World) => async (): Promise<string> => {
  const all: Json[] = await world.target.rpc('nvmf_subsystem_get_qpairs', { nqn });
  return JSON.stringify(all.map(({ qid, auth }) => ({ qid, ...auth })));
};

const expectAuthenticated = (seen: Json[]): void => {
  expect(seen.map(({ qid, state }) => [qid, state])).toEqual([
    [0, 'completed'],
    [1, 'completed'],
    [2, 'completed'],
  ]);
};

const withKeys = (world: World, [hmac, bytes]: readonly [number, number]): Check => ({
  title: `keys of hash ${hmac} and ${bytes} bytes, in one direction and in both`,
  bash: `
    leave
    k=$(nvme gen-dhchap-key -m ${hmac} -l ${bytes} -n ${host})
    c=$(nvme gen-dhchap-key -m ${hmac} -l ${bytes} -n ${nqn})
    host keys "$k"
    ${connect('--dhchap-secret "$k"')}
    host qpairs >$out/one.json
    detach ${nqn}
    host keys "$k $c"
    ${connect('--dhchap-secret "$k" --dhchap-ctrl-secret "$c"')}
    host qpairs >$out/both.json
    dd if=$(block_device ${nqn}) of=/dev/null bs=1M count=4 iflag=direct status=none
    detach ${nqn}
    # without the right keys there is no connection
    if nvme connect -t tcp -a $address -s $port -n ${nqn} -q ${host}; then complain 'connected without a key'; fi
    x=$(nvme gen-dhchap-key -m ${hmac} -l ${bytes} -n ${host})
    if nvme connect -t tcp -a $address -s $port -n ${nqn} -q ${host} --dhchap-secret "$x"; then
      complain 'connected with another key'
    fi`,
  host: { keys: takeKeys(world), qpairs: qpairs(world) },
  expect: ({ json }) => {
    expectAuthenticated(json('one.json'));
    expectAuthenticated(json('both.json'));
  },
});

guestSuite('Authentication', {
  allowed: [
    /nvme nvme\d+: qid \d+: authenticated(?: with hash hmac\(sha\d+\) dhgroup (?:null|ffdhe\d+))?$/,
    /nvme nvme\d+: qid \d+: controller authenticated$/,
    /nvme nvme\d+: re-authenticating controller$/,
    // without a key (ENOKEY), and with another one (EKEYREJECTED)
    /nvme nvme\d+: qid 0: no key$/,
    /nvme nvme\d+: qid 0: authentication setup failed$/,
    /nvme nvme\d+: qid 0: authentication failed, error -129$/,
    /nvme nvme\d+: failed to connect queue: 0 ret=-12[69]$/,
  ],
  start: async (world) => {
    world.target = await Target.start();
    world.port = await freePort();
    await world.target.createMalloc('Malloc0', 64 << 20);
    await world.target.createTransport();
    await world.target.rpc('nvmf_create_subsystem', { nqn, serial_number: 'AUTH' });
    await world.target.rpc('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: 'Malloc0' } });
    await world.target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address: listenAddress(world.port) });
    await world.target.rpc('nvmf_subsystem_add_host', { nqn, host });
    return {};
  },
  checks: (world) => [
    {
      title: 'the kernel and nvme-cli have DH-HMAC-CHAP',
      bash: `
        nvme gen-dhchap-key -m 1 -l 32 -n ${host} | grep '^DHHC-1:01:'
        grep -o 'dhchap_secret=' /dev/nvme-fabrics`,
    },
    ...keys.map((key) => withKeys(world, key)),
    {
      title: 'another key, changed while connected, holds from the next connection on',
      bash: `
        leave
        a=$(nvme gen-dhchap-key -m 1 -l 32 -n ${host})
        b=$(nvme gen-dhchap-key -m 1 -l 32 -n ${host})
        host keys "$a"
        ${connect('--dhchap-secret "$a"')}
        host change "$b"
        dd if=$(block_device ${nqn}) of=/dev/null bs=1M count=4 iflag=direct status=none
        # the host authenticates itself again, on the live controller, when its secret is written
        echo "$b" >$(controller ${nqn})/dhchap_secret
        wait_for 10 is_live ${nqn}
        dd if=$(block_device ${nqn}) of=/dev/null bs=1M count=4 iflag=direct status=none
        detach ${nqn}`,
      host: {
        keys: takeKeys(world),
        change: async (key) => {
          const path = join(world.target.folder, 'changed');
          writeFileSync(path, key, { mode: 0o600 });
          await world.target.rpc('keyring_file_add_key', { name: 'changed', path });
          await world.target.rpc('nvmf_subsystem_set_keys', { nqn, host, dhchap_key: 'changed' });
        },
      },
    },
    ...digests.flatMap((digest) =>
      groups.map(
        (group): Check => ({
          title: `${digest} with ${group}`,
          bash: `
          leave
          k=$(nvme gen-dhchap-key -m 1 -l 32 -n ${host})
          c=$(nvme gen-dhchap-key -m 1 -l 32 -n ${nqn})
          host only "$k $c"
          ${connect('--dhchap-secret "$k" --dhchap-ctrl-secret "$c"')}
          host qpairs >$out/seen.json
          detach ${nqn}`,
          host: {
            only: async (text) => {
              await restart(world, digest, group);
              await takeKeys(world)(text);
            },
            qpairs: qpairs(world),
          },
          expect: ({ json }) => {
            expectAuthenticated(json('seen.json'));
            for (const { digest: d, dhgroup } of json('seen.json'))
              expect([d, dhgroup]).toEqual([digest, group]);
          },
        }),
      ),
    ),
  ],
});

/** The same target, which allows one hash function and one group: these are options of its start. */
async function restart(world: World, digest: string, group: string): Promise<void> {
  const config: Json = await world.target.config();
  const nvmf = config.subsystems.find(({ subsystem }: Json) => subsystem === 'nvmf');
  for (const { method, params } of nvmf.config)
    if (method === 'nvmf_set_config')
      Object.assign(params, { dhchap_digests: [digest], dhchap_dhgroups: [group] });
  world.target = await world.target.replaceBy(config);
}
