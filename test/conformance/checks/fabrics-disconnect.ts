/** Disconnect (Base 2.0, 6.4): an I/O queue ends, and the rest of the association goes on. */
import { FABRICS_OPCODE, fabricsType, nvmOpcode, ofcs, register, sglId } from '@spdk-ts/nvme-spec';
import { DEFAULT_HOSTID, read } from '../../host/index.ts';
import {
  all,
  tcpAnswers as answers,
  type Check,
  tcpCheck as check,
  holds,
  of,
  type Row,
  succeeded,
} from '../check.ts';
import { fabrics } from '../codes.ts';
import { lastWords } from '../last-words.ts';

const row = (id: string, title: string): Row => ({
  id: `disconnect.${id}`,
  section: 'Base 2.0, 6.4',
  title,
  unless: ({ controller }) =>
    controller.ofcs & ofcs.disconnect ? '' : 'Disconnect is not supported (OFCS bit 0)',
});
const fields = { opcode: FABRICS_OPCODE, nsid: fabricsType.disconnect, psdt: 1 };

export const disconnectChecks: readonly Check[] = [
  check(
    row('io', 'Disconnect on an I/O queue'),
    'success; its connection ends, that of the admin queue goes on',
    async (bench) => {
      const { host, queue } = await bench.pair();
      const done = await queue.submit(fields);
      queue.stream.socket.end();
      const { closed } = await lastWords(queue);
      const vs = await host.property(register.vs);
      return all(
        succeeded(done),
        holds(closed, closed ? 'closed' : 'the connection stays open'),
        holds(vs === bench.facts.vs, 'the admin queue answers'),
      );
    },
  ),
  check(
    row('again', 'Connect of the same queue identifier, after Disconnect'),
    'success, and reads',
    async (bench) => {
      const { host, queue } = await bench.pair();
      await queue.submit(fields);
      queue.stream.socket.end();
      await lastWords(queue);
      const { subnqn, hostnqn } = bench.address;
      const next = await bench.queue();
      const done = await next.connectWith({
        ...{ subnqn, hostnqn, hostid: DEFAULT_HOSTID, cntlid: host.admin.cntlid, qid: 1 },
      });
      const { nsid, block_size } = bench.facts.ns;
      return all(
        of('Connect', succeeded(done)),
        of(
          'Read',
          done.status === 0
            ? succeeded(await read(next, 0, block_size, { nsid, block_size }))
            : holds(false, 'none'),
        ),
      );
    },
  ),
  check(
    row('outstanding', 'Disconnect with a read before it on the queue'),
    'the read ends before Disconnect does',
    async (bench) => {
      const { queue } = await bench.pair();
      const { nsid, block_size } = bench.facts.ns;
      const order: string[] = [];
      const reads = Array.from({ length: 8 }, (_, i) =>
        read(queue, i, block_size, { nsid, block_size }).then((done) => {
          order.push('read');
          return done;
        }),
      );
      const done = await queue.submit(fields).then((completion) => {
        order.push('disconnect');
        return completion;
      });
      const all8 = await Promise.all(reads);
      return all(
        succeeded(done),
        ...all8.map(succeeded),
        holds(order.at(-1) === 'disconnect', `ended last: ${order.at(-1)}`),
      );
    },
  ),
  answers(
    row('admin', 'Disconnect on the admin queue'),
    fabrics.invalidQueueType,
    async (bench) => {
      const host = await bench.connect();
      return host.admin.submit(fields);
    },
    true,
  ),
  answers(
    row('recfmt', 'Disconnect with RECFMT 1'),
    fabrics.incompatibleFormat,
    async (bench) => {
      const { queue } = await bench.pair();
      return queue.submit({ ...fields, cdw10: 1 });
    },
    true,
  ),
  check(
    {
      ...row('without-ofcs', 'Disconnect where it is not supported (OFCS bit 0 clear)'),
      unless: ({ controller }) => (controller.ofcs & ofcs.disconnect ? 'it is supported' : ''),
    },
    'refused, or the association ends',
    async (bench) => {
      const { queue } = await bench.pair();
      const done = await queue.submit(fields).catch((error: Error) => error);
      return done instanceof Error
        ? holds(true, done.message)
        : holds(done.status !== 0, `status ${done.status.toString(16)}h`);
    },
  ),
  check(
    {
      id: 'disconnect.admin-lost',
      section: 'Base 2.0, 3.3.2.2.2',
      severity: 'shall',
      title: 'The connection of the admin queue is lost, with reads outstanding on the I/O queue',
    } as Row,
    'the association ends: the I/O queue is closed as well',
    async (bench) => {
      const { host, queue } = await bench.pair();
      const { nsid, block_size } = bench.facts.ns;
      queue.lenient = true;
      for (let i = 0; i < 4; i++) read(queue, i, block_size, { nsid, block_size }).catch(() => {});
      const length = bench.r2t_bytes;
      const sgl1 = { identifier: sglId.transportDataBlock, address: 0, length };
      const cid = queue.newCid();
      queue.stream.send(
        queue.capsule({ opcode: nvmOpcode.write, nsid, psdt: 1, cid, sgl1, cdw12: length / block_size - 1 }),
      );
      host.admin.stream.destroy();
      const { closed } = await lastWords(queue);
      return holds(closed, closed ? 'closed' : 'the I/O queue goes on');
    },
  ),
];
