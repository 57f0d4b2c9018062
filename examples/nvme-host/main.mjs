// A target and a host in one process: writes blocks, reads them back, and hears of a namespace that comes.
//
//     node examples/nvme-host/main.mjs                               # with a target of its own
//     node examples/nvme-host/main.mjs 'trtype:TCP traddr:… subnqn:…' # looks at yours, without writing
import { createTarget } from '@spdk-ts/app';
import { connect } from '@spdk-ts/nvme';

async function look(transportId) {
  const connection = await connect(transportId);
  try {
    const { mn, sn, subnqn } = await connection.identify();
    console.log(`${mn.trim()} ${sn.trim()}, ${subnqn}`);
    for (const { nsid, num_blocks, block_size } of connection.namespaces)
      console.log(`namespace ${nsid}: ${num_blocks} blocks of ${block_size} bytes`);
  } finally {
    await connection.close();
  }
}

async function demonstrate() {
  const target = await createTarget({ namespaces: [{ size_bytes: 16 * 1024 * 1024 }] });
  const connection = await connect(target.transportId);
  try {
    const namespace = connection.namespace(1);
    const data = Buffer.alloc(1024 * 1024, 'spdk-ts ');
    await namespace.write(100, data);
    const back = await namespace.read(100, data.length / namespace.info.block_size);
    console.log(`${back.length} bytes read back: ${data.equals(back) ? 'the same' : 'NOT the same'}`);

    const { events } = connection;
    await target.rpc('bdev_malloc_create', { name: 'Second', num_blocks: 2048, block_size: 512 });
    await target.rpc('nvmf_subsystem_add_ns', { nqn: target.subnqn, namespace: { bdev_name: 'Second' } });
    for await (const event of events)
      if (event.type === 'namespace-added') {
        console.log(`namespace ${event.nsid} has come`);
        break;
      }
  } finally {
    await connection.close();
    await target.stop();
  }
}

const [transportId] = process.argv.slice(2);
await (transportId === undefined ? demonstrate() : look(transportId));
