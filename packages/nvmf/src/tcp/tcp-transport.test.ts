import { TICKS_PER_MS } from '@spdk-ts/env';
import { setLogWriter } from '@spdk-ts/log';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeGroup, FakeSocks, fakeOptions } from '../../test-support/tcp-fakes.ts';
import { defaultLimits } from '../limits.ts';
import { TcpMessage } from './reactor-hub.ts';
import { TcpTransport } from './tcp-transport.ts';

const address = { trtype: 'TCP', adrfam: 'IPv4', traddr: '0.0.0.0', trsvcid: '4420' };

async function setUp(index: number, count: number) {
  const group = new FakeGroup(index, count);
  const socks = new FakeSocks(group.regions);
  const transport = new TcpTransport(group.asGroup, fakeOptions, () => socks);
  return { group, socks, transport };
}

let logWriter: (line: string) => void;
beforeAll(() => {
  logWriter = setLogWriter(() => {});
});
afterAll(() => void setLogWriter(logWriter));

describe('TcpTransport', () => {
  it('spreads connections over the reactors, fewest first', async () => {
    const { group, socks, transport } = await setUp(0, 3);
    await transport.listen(address);
    for (let fd = 10; fd < 16; fd++) socks.connectFrom(fd);
    expect(transport.qpairs.size).toBe(2);
    expect(group.messages.map(({ to, kind, values }) => [to, kind, values[0]])).toEqual([
      [1, TcpMessage.ADOPT, 11],
      [2, TcpMessage.ADOPT, 12],
      [1, TcpMessage.ADOPT, 14],
      [2, TcpMessage.ADOPT, 15],
    ]);
    transport.handedOverEnded(2);
    socks.connectFrom(20);
    expect(group.messages.at(-1)).toMatchObject({ to: 2, values: [20, 1, 1] });
  });

  it('gives connections to the reactors that serve them only', async () => {
    const { group, socks, transport } = await setUp(0, 4);
    group.target.serving = [1, 3];
    await transport.listen(address);
    for (let fd = 10; fd < 14; fd++) socks.connectFrom(fd);
    expect(transport.qpairs.size).toBe(0);
    expect(group.messages.map(({ to }) => to)).toEqual([1, 3, 1, 3]);
  });

  it('refuses connections beyond the limit, and takes others once there is room', async () => {
    const { group, socks, transport } = await setUp(0, 1);
    group.target.limits = { ...defaultLimits, connections: 2 };
    await transport.listen(address);
    for (let fd = 10; fd < 13; fd++) socks.connectFrom(fd);
    expect([transport.qpairs.size, socks.closedFds]).toEqual([2, [12]]);
    expect([group.counts.connections, group.counts.refused_connections]).toEqual([2, 1]);
    const [first] = transport.qpairs;
    first!.disconnect('test');
    socks.socks[0]!.end();
    socks.connectFrom(13);
    expect([transport.qpairs.size, group.counts.connections, socks.closedFds]).toEqual([2, 2, [12]]);
  });

  it('takes its patience from the limits', async () => {
    const { group, socks, transport } = await setUp(0, 1);
    group.target.limits = { ...defaultLimits, icreq_timeout_ms: 100 };
    await transport.listen(address);
    socks.connectFrom(10);
    const later = (ms: number): void => {
      (group.reactor as { now: number }).now += ms * TICKS_PER_MS;
      group.pollers.get('nvmf_tcp_deadlines')!();
    };
    later(100);
    expect(socks.socks[0]!.closed).toBe(false);
    later(1);
    expect([socks.socks[0]!.closed, group.counts.dropped_connections]).toEqual([true, 1]);
  });

  it('keeps them where the sockets cannot move', async () => {
    const { group, socks, transport } = await setUp(0, 3);
    socks.canDetach = false;
    await transport.listen(address);
    for (let fd = 10; fd < 16; fd++) socks.connectFrom(fd);
    expect(transport.qpairs.size).toBe(6);
    expect(group.messages).toEqual([]);
  });

  it('serves what others accepted and tells them of the end', async () => {
    const { group, socks, transport } = await setUp(1, 2);
    transport.adopt(0, 77, 5, true);
    const [qpair] = transport.qpairs;
    expect(qpair!.listenAddress).toEqual({ ...address, traddr: '0.0.0.0' });
    expect(group.added).toEqual([qpair]);
    transport.listenerStopped(0, 4);
    expect(socks.socks[0]!.closed).toBe(false);
    transport.listenerStopped(0, 5);
    expect(socks.socks[0]!.closed).toBe(true);
    socks.socks[0]!.end();
    expect(transport.qpairs.size).toBe(0);
    expect(group.messages).toEqual([{ to: 0, kind: TcpMessage.ENDED, values: [5] }]);
  });

  it('stops listening everywhere', async () => {
    const { group, socks, transport } = await setUp(0, 2);
    await transport.listen(address);
    socks.connectFrom(10);
    await transport.stopListening(address);
    expect(group.messages).toEqual([{ to: 1, kind: TcpMessage.STOPPED, values: [1] }]);
    expect(socks.socks[0]!.closed).toBe(true);
    socks.connectFrom(11);
    expect(socks.closedFds).toEqual([11]);
  });

  it('destroys with connections that end late', async () => {
    const { group, socks, transport } = await setUp(0, 1);
    await transport.listen(address);
    socks.connectFrom(10);
    let done = false;
    const destroyed = transport.destroy().then(() => {
      done = true;
    });
    await Promise.resolve();
    await Promise.resolve();
    expect(socks.socks[0]!.closed).toBe(true);
    group.pollers.get('nvmf_tcp_drain')!();
    expect(done).toBe(false);
    socks.socks[0]!.end();
    group.pollers.get('nvmf_tcp_drain')!();
    await destroyed;
    expect(group.pollers.size).toBe(0);
  });
});
