import { expect, it } from 'vitest';
import { formatTransportId, makeTransportId, parseTransportId } from './transport-id.ts';

const NQN = 'nqn.2016-06.io.spdk:cnode1';

it('reads what SPDK’s tools take', () => {
  const text = `trtype:TCP adrfam:IPv4 traddr:192.0.2.7 trsvcid:4421 subnqn:${NQN}`;
  const trid = parseTransportId(text);
  expect(trid).toEqual({
    ...{ trtype: 'TCP', adrfam: 'IPv4', traddr: '192.0.2.7', trsvcid: '4421', subnqn: NQN },
    ...{ hostnqn: '', hostaddr: '', hostsvcid: '', ns: 0 },
  });
  expect(formatTransportId(trid)).toBe(text);
  const turned = `  TRSVCID=4421\tsubnqn:${NQN} traddr=192.0.2.7 trtype:tcp ns:3 `;
  expect(parseTransportId(turned)).toEqual({ ...trid, ns: 3 });
});

it('reads where a vfio-user socket is', () => {
  const trid = parseTransportId('trtype:vfiouser traddr:/var/run/vm0/ ns:2');
  expect(trid).toEqual({
    ...{ trtype: 'VFIOUSER', adrfam: '', traddr: '/var/run/vm0/', trsvcid: '', subnqn: '' },
    ...{ hostnqn: '', hostaddr: '', hostsvcid: '', ns: 2 },
  });
  expect(formatTransportId(trid)).toBe('trtype:VFIOUSER traddr:/var/run/vm0/');
  expect(formatTransportId({ ...trid, subnqn: NQN })).toBe(
    `trtype:VFIOUSER traddr:/var/run/vm0/ subnqn:${NQN}`,
  );
  expect(() => parseTransportId('trtype:VFIOUSER traddr:vm0')).toThrow('traddr:vm0 is no absolute path');
});

it('knows what was not said', () => {
  expect(parseTransportId('trtype:TCP traddr:::1')).toMatchObject({
    ...{ adrfam: 'IPv6', traddr: '::1', trsvcid: '8009', subnqn: 'nqn.2014-08.org.nvmexpress.discovery' },
  });
  expect(parseTransportId(`trtype:TCP traddr:target.example subnqn:${NQN}`)).toMatchObject({
    ...{ adrfam: 'IPv4', trsvcid: '4420' },
  });
});

it.each([
  ['traddr:1.2.3.4', /trtype is missing/],
  ['trtype:TCP', /traddr is missing/],
  ['trtype:TCP traddr:', /traddr is missing/],
  ['trtype:PCIe traddr:0000:01:00.0', /trtype:PCIe is not supported: local devices/],
  ['trtype:RDMA traddr:1.2.3.4', /there is no RDMA transport/],
  ['trtype:TCP traddr:1.2.3.4 trsvcid:70000', /trsvcid:70000 is not a port/],
  ['trtype:TCP traddr:1.2.3.4 adrfam:IB', /adrfam:IB is not IPv4 or IPv6/],
  ['trtype:TCP traddr:1.2.3.4 subnqn:foo', /subnqn:foo is no NQN/],
  ['trtype:TCP traddr:1.2.3.4 hostnqn:foo', /hostnqn:foo is no NQN/],
  ['trtype:TCP traddr:1.2.3.4 traddr:1.2.3.5', /traddr is given twice/],
  ['trtype:TCP traddr:1.2.3.4 port:1', /'port:1' is not one of/],
  ['trtype:TCP traddr:1.2.3.4 ns:-1', /ns:-1 is not a namespace id/],
  ['trtype', /'trtype' is not one of/],
])('refuses %s', (text, message) => {
  expect(() => parseTransportId(text)).toThrow(message);
});

it('takes the parts of an RPC', () => {
  expect(makeTransportId({ trtype: 'tcp', traddr: '1.2.3.4', trsvcid: '4420', subnqn: NQN })).toEqual(
    parseTransportId(`trtype:TCP traddr:1.2.3.4 trsvcid:4420 subnqn:${NQN}`),
  );
});
