import type { Application } from '@spdk-ts/app';

const NQN = 'nqn.2014-08.org.nvmexpress:uuid:5d0f35c6-3b1c-4c41-9d4e-6f2d1a7f4b10';
const DISK_MIB = 256;
const BLOCK_SIZE = 512;

/** Exports a memory disk on the loopback address and prints how to connect to it. */
export async function setUpDemo(app: Application, trsvcid: string): Promise<void> {
  await app.initialized;
  const { rpc } = app;
  await rpc.call('bdev_malloc_create', {
    name: 'Demo0',
    block_size: BLOCK_SIZE,
    num_blocks: (DISK_MIB * 1024 * 1024) / BLOCK_SIZE,
    uuid: '0c7d7f0e-1a52-4f0a-9b5e-2d1b6c3e8f01',
  });
  await rpc.call('nvmf_create_transport', { trtype: 'TCP' });
  await rpc.call('nvmf_create_subsystem', { nqn: NQN, allow_any_host: true, serial_number: 'DEMO0' });
  await rpc.call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'Demo0' } });
  await rpc.call('nvmf_subsystem_add_listener', {
    nqn: NQN,
    listen_address: { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid },
  });
  const socket = app.options.rpcSocket;
  console.log(`
A ${DISK_MIB} MiB memory disk is exported over NVMe/TCP on 127.0.0.1:${trsvcid}. On this machine, as root:

  modprobe nvme-tcp
  nvme connect -t tcp -a 127.0.0.1 -s ${trsvcid} -n ${NQN}
  nvme list
  nvme disconnect -n ${NQN}
${socket === null ? '' : `\nLook around with:  npx rpc.ts ${socket === '/var/tmp/spdk.sock' ? '' : `-s ${socket} `}nvmf_get_subsystems`}
End it with Ctrl-C.`);
}
