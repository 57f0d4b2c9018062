/** The discovery controller at the same address (Base 2.0, 3.1.2.3 and 5.16.1.23). */
import {
  adminOpcode,
  controllerType,
  DISCOVERY_ENTRY_SIZE,
  DISCOVERY_NQN,
  decodeDiscoveryLog,
  discoveryLogHeader,
  identifyController,
  lid,
  register,
} from '@spdk-ts/nvme-spec';
import type { RawHost } from '../../host/index.ts';
import { dataOf, getFeature, getLog, identify } from '../admin.ts';
import {
  all,
  tcpAnswers as answers,
  type Check,
  tcpCheck as check,
  hasStatus,
  holds,
  type Outcome,
  of,
  type Row,
  succeeded,
} from '../check.ts';
import { command, fabrics, generic } from '../codes.ts';
import type { TcpBench as Bench } from '../tcp-bench.ts';

const row = (id: string, section: string, title: string, more: Partial<Row> = {}): Row => ({
  id: `discovery.${id}`,
  section: `Base 2.0, ${section}`,
  title,
  ...more,
});
const connect = (bench: Bench): Promise<RawHost> => bench.connect({ subnqn: DISCOVERY_NQN });

async function whole(host: RawHost): Promise<Buffer> {
  const header = discoveryLogHeader.decode(
    await dataOf('Discovery', getLog(host.admin, lid.discovery, DISCOVERY_ENTRY_SIZE)),
  );
  return dataOf('Discovery', getLog(host.admin, lid.discovery, DISCOVERY_ENTRY_SIZE * (header.numrec + 1)));
}

const identity = check(
  row('identify', '5.17.2.1', 'Identify of the discovery controller'),
  'CNTRLTYPE 2 (if it is told), VER as VS, MAXCMD not 0, SUBNQN the well-known or the subsystem’s own name',
  async (bench) => {
    const host = await connect(bench);
    const c = identifyController.decode(await host.identify(1));
    const vs = await host.property(register.vs);
    return all(
      of(
        'CNTRLTYPE',
        holds(
          c.cntrltype === controllerType.discovery || (c.cntrltype === 0 && vs < 0x1_0400),
          String(c.cntrltype),
        ),
      ),
      of('VER', holds(c.ver === vs, c.ver.toString(16))),
      of('MAXCMD', holds(c.maxcmd > 0, String(c.maxcmd))),
      of('SUBNQN', holds(c.subnqn.startsWith('nqn.'), c.subnqn)),
      of('CNTLID', holds(c.cntlid === host.admin.cntlid, `${c.cntlid}, Connect ${host.admin.cntlid}`)),
    );
  },
);

const log = [
  check(
    row('log', '5.16.1.23', 'The discovery log page'),
    'the subsystem that is under test, at this port, over TCP',
    async (bench) => {
      const { entries, genctr } = decodeDiscoveryLog(await whole(await connect(bench)));
      const ours = entries.filter(({ subnqn }) => subnqn === bench.address.subnqn);
      const outcomes: Outcome[] = ours.map((entry) =>
        all(
          of('TRTYPE', holds(entry.trtype === 3, String(entry.trtype))),
          of('ADRFAM', holds(entry.adrfam === 1 || entry.adrfam === 2, String(entry.adrfam))),
          of('SUBTYPE', holds(entry.subtype === 2, String(entry.subtype))),
          of(
            'CNTLID',
            holds(
              entry.cntlid === 0xffff || entry.cntlid === 0xfffe || entry.cntlid <= 0xffef,
              String(entry.cntlid),
            ),
          ),
          of('ASQSZ', holds(entry.asqsz >= 32, String(entry.asqsz))),
          of('TRSVCID', holds(/^\d+$/.test(entry.trsvcid), JSON.stringify(entry.trsvcid))),
          of('TRADDR', holds(entry.traddr !== '', JSON.stringify(entry.traddr))),
        ),
      );
      return all(
        holds(ours.length > 0, `${ours.length} of ${entries.length} records`),
        holds(genctr >= 0, `GENCTR ${genctr}`),
        ...outcomes,
      );
    },
  ),
  check(
    row('log-closed', '5.16.1.23', 'The discovery log page of a host that a subsystem does not allow', {
      unless: ({ closedSubnqn }) =>
        closedSubnqn === undefined ? 'no subsystem was named that does not allow our host' : '',
    }),
    'no record of that subsystem',
    async (bench) => {
      const { entries } = decodeDiscoveryLog(await whole(await connect(bench)));
      const shown = entries.filter(({ subnqn }) => subnqn === bench.facts.closedSubnqn);
      return holds(shown.length === 0, `${shown.length} records`);
    },
  ),
  check(
    row('log-parts', '5.16.1.23', 'The discovery log page in pieces of 256 bytes'),
    'the same bytes',
    async (bench) => {
      const host = await connect(bench);
      const all1 = await whole(host);
      const parts: Buffer[] = [];
      for (let offset = 0; offset < all1.length; offset += 256)
        parts.push(await dataOf('Discovery', getLog(host.admin, lid.discovery, 256, { offset })));
      const same = Buffer.concat(parts).equals(all1);
      return holds(same, same ? `${all1.length} bytes` : 'other bytes');
    },
  ),
  check(
    row('log-offset', '5.16.1.23', 'The discovery log page from behind its end'),
    'Invalid Field in Command',
    async (bench) =>
      hasStatus(await getLog((await connect(bench)).admin, lid.discovery, 4, { offset: 2 ** 30 }), [
        generic.invalidField,
      ]),
  ),
  check(
    row('log-repeated', '5.16.1.23', 'The discovery log page, twice'),
    'the same generation counter',
    async (bench) => {
      const host = await connect(bench);
      const one = decodeDiscoveryLog(await whole(host)).genctr;
      const two = decodeDiscoveryLog(await whole(host)).genctr;
      return holds(one === two, `${one}, then ${two}`);
    },
  ),
];

/** What a discovery controller does not have. */
const refusals = [
  check(
    row('io-queue', '3.1.2.3', 'An I/O queue of a discovery controller'),
    'it is refused',
    async (bench) => {
      const host = await connect(bench);
      const opened = await host.openQueues(1).then(
        () => null,
        (error: Error) => error.message,
      );
      return holds(opened !== null, opened ?? 'it is connected');
    },
  ),
  answers(
    row('identify-namespace', '3.1.2.3', 'Identify Namespace of a discovery controller'),
    [generic.invalidField, generic.invalidNamespaceOrFormat, generic.invalidOpcode],
    async (bench) => identify((await connect(bench)).admin, 0, { nsid: 1 }),
  ),
  answers(
    row('smart', '3.1.2.3', 'SMART of a discovery controller', { severity: 'should' }),
    [command.invalidLogPage, generic.invalidField, generic.invalidOpcode],
    async (bench) => getLog((await connect(bench)).admin, lid.smart, 512),
  ),
  answers(
    row('features', '3.1.2.3', 'Get Features of ARBITRATION of a discovery controller', {
      severity: 'should',
    }),
    [generic.invalidField, generic.invalidOpcode],
    async (bench) => getFeature((await connect(bench)).admin, 1),
  ),
  answers(
    row('opcode', '3.1.2.3', 'Format NVM of a discovery controller'),
    generic.invalidOpcode,
    async (bench) => (await connect(bench)).admin.submit({ opcode: adminOpcode.formatNvm, nsid: 1, psdt: 1 }),
  ),
];

const alive = [
  answers(
    row('keep-alive', '5.18', 'Keep Alive of a discovery controller that was connected with KATO 120 s'),
    0,
    async (bench) => {
      const host = await bench.connect({ subnqn: DISCOVERY_NQN, katoMs: 120_000 });
      return host.admin.submit({ opcode: adminOpcode.keepAlive, psdt: 1 });
    },
  ),
  check(row('cntlid', '6.3', 'Two hosts at the discovery controller'), 'two controllers', async (bench) => {
    const [a, b] = [await connect(bench), await connect(bench)];
    const done = await a!.getProperty(register.vs, 0);
    return all(
      succeeded(done),
      holds(a!.admin.cntlid !== b!.admin.cntlid, `CNTLID ${a!.admin.cntlid} and ${b!.admin.cntlid}`),
    );
  }),
  answers(
    row('unknown', '6.3', 'Connect to the discovery NQN with a letter more'),
    fabrics.connectInvalidParameters,
    async (bench) => {
      const queue = await bench.queue();
      return queue.connectWith({ qid: 0, subnqn: `${DISCOVERY_NQN}x`, hostnqn: bench.address.hostnqn });
    },
    true,
  ),
];

export const discoveryChecks: readonly Check[] = [identity, ...log, ...refusals, ...alive];
