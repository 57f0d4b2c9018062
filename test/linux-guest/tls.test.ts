// NVMe/TCP over TLS with the kernel's host: tlshd shakes hands with the target's Node.js, the kernel then speaks TLS itself.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  formatDhchapSecret,
  formatInterchangePsk,
  parseInterchangePsk,
  retainedPsk,
  tlsPsk,
} from '@spdk-ts/nvme-auth';
import { expect } from 'vitest';
import { type Check, guestSuite } from './suite.ts';
import { freePort, type Json, listenAddress, Target } from './target.ts';

const nqn = 'nqn.2024-01.io.spdk-ts:tls';
const host = 'nqn.2014-08.org.nvmexpress:uuid:7e1b7a46-2b6f-4c2d-9c56-0d0a9d5d7c12';
const psk = formatInterchangePsk({ hash: 1, key: new Uint8Array(32).fill(0x5a) });
const secret = formatDhchapSecret({ hash: 1, key: new Uint8Array(32).fill(0x3c) });
const guestTool = fileURLToPath(new URL('guest', import.meta.url));

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const keyOf = (version: 0 | 1) => tlsPsk(version, retainedPsk(parseInterchangePsk(psk), host), host, nqn);

/** The programs of the folder $tls run with the libraries there. */
const programs = `
  from_tls() {
    "$tls/lib64/ld-linux-x86-64.so.2" --library-path "$tls/usr/lib/x86_64-linux-gnu" "$tls/usr/$1" "\${@:2}"
  }
  nvme() { from_tls sbin/nvme "$@"; }
  keyctl() { from_tls bin/keyctl "$@"; }
  # key IDENTITY HEX: gives it to the kernel, and prints its number
  key() { echo "$2" | xxd -r -p | keyctl padd psk "$1" %:.nvme; }
  connect() { nvme connect -t tcp -a "$address" -s "$port" -n ${nqn} -q ${host} "$@"; }`;

const overTls = (version: 0 | 1): Check => {
  const { identity, key } = keyOf(version);
  return {
    title: `data over TLS, with an identity of version ${version}`,
    bash: `${programs}
      leave
      id=$(key '${identity}' ${hex(key)})
      attach ${nqn} -q ${host} -i 2 --tls
      device=$(block_device ${nqn})
      # the key that the kernel says it uses is the one that it was given
      [ "$((0x$(cat "$(controller ${nqn})/tls_key")))" = "$id" ]
      fio_to verified $device --rw=randwrite --bs=512-256k --bsrange=512-256k --size=16m --iodepth=16 --verify=crc32c
      detach ${nqn}
      keyctl unlink "$id" %:.nvme`,
    expect: ({ json }) => {
      const [job]: Json[] = json('verified.json').jobs;
      expect([job.error, job.write.io_bytes, job.read.io_bytes]).toEqual([0, 16 << 20, 16 << 20]);
    },
  };
};

guestSuite('TLS', {
  allowed: [
    // a plain connection, and one with another key
    /nvme_tcp: queue 0: failed to receive icresp, error -104$/,
    /nvme nvme\d+: queue 0: TLS handshake complete, error -13$/,
    /nvme nvme\d+: qid \d+: authenticated(?: with hash hmac\(sha512\) dhgroup ffdhe8192)?$/,
  ],
  start: async (world) => {
    const { stdout } = await promisify(execFile)(guestTool, ['tls']);
    world.target = await Target.start();
    world.port = await freePort();
    const { target } = world;
    for (const [name, text] of Object.entries({ psk, secret })) {
      const path = join(target.folder, name);
      writeFileSync(path, text, { mode: 0o600 });
      await target.rpc('keyring_file_add_key', { name, path });
    }
    await target.createMalloc('Malloc0', 64 << 20);
    await target.createTransport();
    await target.rpc('nvmf_create_subsystem', { nqn, serial_number: 'TLS' });
    await target.rpc('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: 'Malloc0' } });
    const listen_address = listenAddress(world.port);
    await target.rpc('nvmf_subsystem_add_listener', { nqn, listen_address, secure_channel: true });
    await target.rpc('nvmf_subsystem_add_host', { nqn, host, psk: 'psk' });
    return { tls: stdout.trim() };
  },
  checks: (world) => [
    {
      title: 'the guest has the kernel modules and the daemon that TLS needs',
      bash: `${programs}
        modprobe tls
        modprobe nvme-keyring
        printf '[authenticate]\\nkeyrings = .nvme\\n' >/etc/tlshd.conf
        from_tls sbin/tlshd -s -c /etc/tlshd.conf >/job/tlshd.log 2>&1 &
        wait_for 5 grep -q '^tlshd.*: Built from' /job/tlshd.log`,
    },
    overTls(0),
    overTls(1),
    {
      title: 'without TLS, or with another key, there is no connection',
      bash: `${programs}
        leave
        if connect; then complain 'connected without TLS'; fi
        key '${keyOf(1).identity}' ${hex(new Uint8Array(32))}
        if connect --tls; then complain 'connected with another key'; fi`,
    },
    {
      title: 'DH-HMAC-CHAP within TLS',
      bash: `${programs}
        leave
        key '${keyOf(1).identity}' ${hex(keyOf(1).key)}
        host authenticate
        attach ${nqn} -q ${host} -i 2 -k 60 --tls --dhchap-secret '${secret}'
        host qpairs >$out/qpairs.json
        dd if=$(block_device ${nqn}) of=/dev/null bs=1M count=4 iflag=direct status=none
        detach ${nqn}`,
      host: {
        authenticate: async () => {
          await world.target.rpc('nvmf_subsystem_remove_host', { nqn, host });
          await world.target.rpc('nvmf_subsystem_add_host', { nqn, host, psk: 'psk', dhchap_key: 'secret' });
        },
        qpairs: async () => JSON.stringify(await world.target.rpc('nvmf_subsystem_get_qpairs', { nqn })),
      },
      expect: ({ json }) =>
        expect(json('qpairs.json').map(({ auth }: Json) => auth.state)).toEqual(Array(3).fill('completed')),
    },
  ],
});
