import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { ManualClock, RegionTable } from '@spdk-ts/env';
import { native } from '@spdk-ts/native';
import { type Reactor, Uring } from '@spdk-ts/reactor';
import { afterEach, describe, expect, it } from 'vitest';
import { PosixSockGroup } from './posix-group.ts';
import { type AcceptedSock, defaultSockOptions, type Sock, type SockGroup, type SockOwner } from './sock.ts';
import { UringSockGroup } from './uring-group.ts';

const REGION = 7;

/** As much of a reactor as sockets use. */
function fakeReactor(): Reactor {
  const regions = new RegionTable();
  const bytes = new Uint8Array(1 << 20);
  regions.add(REGION, bytes, native === null ? 0 : native.addressOf(bytes));
  return { regions, wake: () => {}, clock: new ManualClock() } as unknown as Reactor;
}

/** Remembers what it is told; takes everything unless told not to. */
class Owner implements SockOwner {
  readonly got: number[] = [];
  readable = 0;
  sent = 0;
  closed: string | null = null;
  connected = false;
  hold = false;
  sockReadable(sock: Sock): void {
    this.readable++;
    if (this.hold) return;
    for (let at = sock.rxStart; at < sock.rxEnd; at++) this.got.push(sock.rx[at]!);
    sock.consume(sock.rxEnd - sock.rxStart);
  }
  sockSent(): void {
    this.sent++;
  }
  sockClosed(_: Sock, error: string): void {
    this.closed = error;
  }
  sockConnected(): void {
    this.connected = true;
  }
}

/** A group with what drives it. */
type Group = SockGroup & { readonly regions: RegionTable; readonly ring?: Uring };
const groups: Group[] = [];
const peers: Socket[] = [];
const servers: Server[] = [];

afterEach(async () => {
  for (const peer of peers.splice(0)) peer.destroy();
  for (const server of servers.splice(0)) server.close();
  for (const group of groups.splice(0)) {
    const end = group.destroy();
    for (let i = 0; i < 20; i++) turn(group);
    await end;
  }
});

/** One iteration of what drives a group. */
function turn(group: Group): void {
  group.ring?.enter();
  group.poll();
  group.flush();
}

/** Polls until something holds. */
async function until(group: Group, holds: () => boolean, what = 'condition'): Promise<void> {
  const end = performance.now() + 5000;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`${what} did not come true`);
    turn(group);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function acceptOne(group: Group): Promise<{ accepted: AcceptedSock; peer: Socket }> {
  const accepted: AcceptedSock[] = [];
  const listener = await group.listen('127.0.0.1', 0, { sockAccepted: (sock) => accepted.push(sock) });
  const peer = connect(Number(listener.address.trsvcid), '127.0.0.1');
  peer.on('error', () => {});
  peers.push(peer);
  await until(group, () => accepted.length > 0, 'accept');
  const closed = listener.close();
  turn(group);
  turn(group);
  await closed;
  return { accepted: accepted[0]!, peer };
}

const implementations = native === null ? ['posix'] : ['posix', 'uring'];

describe.each(implementations)('%s sockets', (implementation) => {
  function makeGroup(receive_bytes = 4096): Group {
    const reactor = fakeReactor();
    const options = { ...defaultSockOptions, receive_bytes, linger_ms: 200 };
    const group =
      implementation === 'posix'
        ? new PosixSockGroup(reactor, options)
        : new UringSockGroup(reactor, native!, new Uring(native!, () => {}), options);
    groups.push(group);
    return group;
  }

  it('receives what an accepted connection sends, also what came before it was attached', async () => {
    const group = makeGroup();
    const { accepted, peer } = await acceptOne(group);
    peer.write('early ');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const owner = new Owner();
    const sock = accepted.attach(owner);
    expect(sock.peer.trsvcid).toBe(String((peer.address() as AddressInfo).port));
    peer.write('late');
    await until(group, () => owner.got.length === 10, 'ten bytes');
    expect(Buffer.from(owner.got).toString()).toBe('early late');
  });

  it('loses nothing when the receive area is smaller than what arrives', async () => {
    const group = makeGroup(100);
    const { accepted, peer } = await acceptOne(group);
    const owner = new Owner();
    const sock = accepted.attach(owner);
    owner.hold = true;
    const sent = Uint8Array.from({ length: 60_000 }, (_, i) => (i * 7) & 0xff);
    peer.write(sent);
    let at = 0;
    let wrong = 0;
    await until(group, () => {
      // Take odd amounts, so that the area's rest moves about.
      const take = Math.min(37, sock.rxEnd - sock.rxStart);
      for (let i = 0; i < take; i++) if (sock.rx[sock.rxStart + i] !== sent[at++]) wrong++;
      sock.consume(take);
      while (sock.rxEnd - sock.rxStart >= 64) {
        for (let i = 0; i < 64; i++) if (sock.rx[sock.rxStart + i] !== sent[at++]) wrong++;
        sock.consume(64);
      }
      return at === sent.length;
    });
    expect(wrong).toBe(0);
  });

  it('makes room for the rest of what its owner takes only as a whole', async () => {
    const group = makeGroup(100);
    const { accepted, peer } = await acceptOne(group);
    const got: number[] = [];
    const sock = accepted.attach({
      sockReadable: (sock) => {
        while (sock.rxEnd - sock.rxStart >= 64) {
          got.push(...sock.rx.subarray(sock.rxStart, sock.rxStart + 64));
          sock.consume(64);
        }
      },
      sockSent: () => {},
      sockClosed: () => {},
    });
    const sent = Uint8Array.from({ length: 192 }, (_, i) => i);
    peer.write(sent.subarray(0, 90));
    await until(group, () => got.length === 64 && sock.rxEnd - sock.rxStart === 26, 'the first');
    // 26 bytes are left, with room for 10 behind them: the next 64 do not fit there.
    peer.write(sent.subarray(90, 160));
    await until(group, () => got.length === 128, 'the second');
    peer.write(sent.subarray(160));
    await until(group, () => got.length === 192, 'the third');
    expect(Uint8Array.from(got)).toEqual(sent);
  });

  it('receives directly into a region, the part that has already arrived included', async () => {
    const group = makeGroup(64);
    const { accepted, peer } = await acceptOne(group);
    const owner = new Owner();
    owner.hold = true;
    const sock = accepted.attach(owner);
    const sent = Uint8Array.from({ length: 5000 }, (_, i) => (i * 13 + 5) & 0xff);
    peer.write(sent);
    await until(group, () => sock.rxEnd - sock.rxStart === 64, 'a full area');
    sock.receiveInto(REGION, 1000, 4990);
    await until(group, () => sock.directLeft === 0, 'direct receive');
    const bytes = group.regions.bytes(REGION);
    expect(Buffer.compare(bytes.subarray(1000, 5990), sent.subarray(0, 4990))).toBe(0);
    await until(group, () => sock.rxEnd - sock.rxStart === 10, 'the rest');
    expect([...sock.rx.subarray(sock.rxStart, sock.rxEnd)]).toEqual([...sent.subarray(4990)]);
    expect(() => sock.consume(11)).toThrow(RangeError);
  });

  it('sends a gather list in order and counts what has left', async () => {
    const group = makeGroup();
    const { accepted, peer } = await acceptOne(group);
    const owner = new Owner();
    const sock = accepted.attach(owner);
    const received: Buffer[] = [];
    peer.on('data', (chunk) => received.push(chunk));
    group.regions.bytes(REGION).set(Buffer.from('region'), 500);
    sock.sendBytes(Buffer.from('<head>'), 1, 5);
    sock.send(REGION, 500, 6);
    sock.sendBytes(Buffer.from('!'), 0, 1);
    expect(sock.txQueued).toBe(11);
    expect(sock.txDone).toBe(0);
    await until(group, () => owner.sent > 0, 'sent');
    expect(sock.txDone).toBe(11);
    await until(group, () => Buffer.concat(received).length === 11, 'received');
    expect(Buffer.concat(received).toString()).toBe('headregion!');
    expect(() => sock.send(REGION, (1 << 20) - 1, 2)).toThrow(RangeError);
  });

  it('tells once when the peer ends', async () => {
    const group = makeGroup();
    const { accepted, peer } = await acceptOne(group);
    const owner = new Owner();
    accepted.attach(owner);
    expect(group.size).toBe(1);
    peer.end('bye');
    await until(group, () => owner.closed !== null, 'close');
    expect(Buffer.from(owner.got).toString()).toBe('bye');
    expect(owner.closed).toBe('');
    expect(group.size).toBe(0);
  });

  it('tells of the end of a connection that was over before it was attached', async () => {
    const group = makeGroup();
    const { accepted, peer } = await acceptOne(group);
    peer.resetAndDestroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const owner = new Owner();
    accepted.attach(owner);
    await until(group, () => owner.closed !== null, 'close');
    expect(group.size).toBe(0);
  });

  it('sends what is queued before a flushing close, and does not wait for a peer that never reads', async () => {
    const group = makeGroup();
    const { accepted, peer } = await acceptOne(group);
    const owner = new Owner();
    const sock = accepted.attach(owner);
    const received: Buffer[] = [];
    peer.on('data', (chunk) => received.push(chunk));
    sock.sendBytes(Buffer.from('last words'), 0, 10);
    sock.close(true);
    await until(group, () => owner.closed !== null, 'close');
    expect(Buffer.concat(received).toString()).toBe('last words');

    const second = await acceptOne(group);
    second.peer.pause();
    const stuck = new Owner();
    const sockOfStuck = second.accepted.attach(stuck);
    const flood = setInterval(() => second.peer.write(Buffer.alloc(10_000)), 1);
    for (let i = 0; i < 20; i++) sockOfStuck.send(REGION, 0, 1 << 20);
    sockOfStuck.close(true);
    await until(group, () => stuck.closed !== null, 'close in spite of the peer');
    clearInterval(flood);
  });

  it('stops receiving on request', async () => {
    const group = makeGroup();
    const { accepted, peer } = await acceptOne(group);
    const owner = new Owner();
    const sock = accepted.attach(owner);
    sock.pauseReceive();
    peer.write('abc');
    for (let i = 0; i < 20; i++) await until(group, () => true);
    expect(owner.got.length).toBe(0);
    sock.resumeReceive();
    await until(group, () => owner.got.length === 3, 'bytes after resume');
  });

  it('connects, and says so', async () => {
    const group = makeGroup();
    const server = createServer((socket) => socket.pipe(socket));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const owner = new Owner();
    const sock = group.connect('127.0.0.1', (server.address() as AddressInfo).port, owner);
    await until(group, () => owner.connected, 'connect');
    sock.sendBytes(Buffer.from('echo'), 0, 4);
    await until(group, () => owner.got.length === 4, 'echo');

    const refused = new Owner();
    group.connect('127.0.0.1', 1, refused);
    await until(group, () => refused.closed !== null, 'refusal');
    expect(refused.closed).toContain('ECONNREFUSED');
  });

  it('reports an address in use with its code', async () => {
    const group = makeGroup();
    const acceptor = { sockAccepted: () => {} };
    const listener = await group.listen('127.0.0.1', 0, acceptor);
    const port = Number(listener.address.trsvcid);
    await expect(group.listen('127.0.0.1', port, acceptor)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    const closed = listener.close();
    for (let i = 0; i < 3; i++) turn(group);
    await closed;
    expect((await group.listen('127.0.0.1', port, acceptor)).address.trsvcid).toBe(String(port));
  });

  it.skipIf(native === null)('hands a connection to another group, with what it has received', async () => {
    const first = makeGroup();
    const second = makeGroup();
    const { accepted, peer } = await acceptOne(first);
    peer.write('moved');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const fd = accepted.detach();
    expect(fd).toBeGreaterThan(0);
    const owner = new Owner();
    const sock = second.adopt(fd, owner);
    expect(sock.local.traddr).toBe('127.0.0.1');
    await until(second, () => owner.got.length === 5, 'bytes at the other group');
    const received: Buffer[] = [];
    peer.on('data', (chunk) => received.push(chunk));
    sock.sendBytes(Buffer.from('back'), 0, 4);
    await until(second, () => Buffer.concat(received).length === 4, 'answer');
    expect(first.size).toBe(0);
    peer.end();
    await until(second, () => owner.closed !== null, 'close');
  });

  it.skipIf(implementation === 'posix')(
    'leaves what is held where it is, and goes on when it is not',
    async () => {
      const group = makeGroup(4096);
      const { accepted, peer } = await acceptOne(group);
      const owner = new Owner();
      owner.hold = true;
      const sock = accepted.attach(owner);
      const place = (): Uint8Array => group.regions.bytes(sock.rxRegion).subarray(sock.rxOffset);
      peer.write(Buffer.alloc(1000, 1));
      await until(group, () => sock.rxEnd === 1000, 'the first bytes');
      sock.holdReceived();
      sock.holdReceived();
      sock.consume(1000);
      peer.write(Buffer.alloc(8000, 2));
      await until(group, () => sock.rxEnd === 4096, 'a full area');
      sock.consume(3096);
      for (let i = 0; i < 20; i++) await until(group, () => true);
      expect(sock.rxEnd).toBe(4096);
      expect(place().subarray(0, 1000)).toEqual(new Uint8Array(1000).fill(1));
      expect(place().subarray(1000, 4096)).toEqual(new Uint8Array(3096).fill(2));
      sock.releaseReceived();
      for (let i = 0; i < 20; i++) await until(group, () => true);
      expect(sock.rxEnd).toBe(4096);
      sock.releaseReceived();
      await until(group, () => sock.rxStart === 0 && sock.rxEnd === 4096, 'more, from the start of the area');
      expect(() => sock.releaseReceived()).toThrow(RangeError);
    },
  );

  it.skipIf(implementation === 'posix')(
    'does not end while somebody holds what it has received',
    async () => {
      const group = makeGroup();
      const { accepted, peer } = await acceptOne(group);
      const owner = new Owner();
      const sock = accepted.attach(owner);
      peer.write('held');
      await until(group, () => owner.got.length === 4, 'bytes');
      sock.holdReceived();
      peer.destroy();
      sock.close();
      for (let i = 0; i < 20; i++) await until(group, () => true);
      expect(owner.closed).toBeNull();
      sock.releaseReceived();
      await until(group, () => owner.closed !== null, 'close');
    },
  );

  it.skipIf(implementation === 'posix')('receives no more at once than it is told to', async () => {
    const group = makeGroup(4096);
    const { accepted, peer } = await acceptOne(group);
    const owner = new Owner();
    owner.hold = true;
    const sock = accepted.attach(owner);
    sock.rxLimit = 10;
    peer.write(Buffer.alloc(35, 7));
    await until(group, () => owner.readable > 0, 'the first bytes');
    expect(sock.rxEnd).toBe(10);
    await until(group, () => sock.rxEnd === 35, 'all bytes');
    expect(owner.readable).toBe(4);
  });

  it.skipIf(implementation === 'posix')('shows that a slow peer takes bytes of a long message', async () => {
    const group = makeGroup();
    const { accepted, peer } = await acceptOne(group);
    const owner = new Owner();
    const sock = accepted.attach(owner);
    peer.pause();
    for (let i = 0; i < 32; i++) sock.send(REGION, 0, 1 << 20);
    for (let i = 0; i < 20; i++) await until(group, () => true);
    const before = sock.txProgress;
    expect(sock.txDone).toBe(0);
    let taken = 0;
    peer.on('data', (chunk) => {
      taken += chunk.length;
      if (taken > 8 << 20) peer.pause();
    });
    peer.resume();
    await until(group, () => taken > 8 << 20, 'a part of it');
    expect(sock.txProgress - before).toBeGreaterThan(1 << 20);
    expect(sock.txDone).toBe(0);
  });
});
