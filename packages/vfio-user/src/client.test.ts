import { closeSync, readdirSync } from 'node:fs';
import { native } from '@spdk-ts/native';
import { describe, expect, it } from 'vitest';
import * as v from './index.ts';

/** A client, and the other end of its connection, which answers with what a function says. */
function pair(answer: (message: v.Message, server: v.Channel) => void) {
  const [ours, theirs] = native!.socketPair();
  const client = new v.VfioUserClient(ours);
  const handler = { message: (message: v.Message) => answer(message, server), closed: () => {} };
  const server: v.Channel = new v.Channel(theirs, handler, v.channelLimits(1 << 20, 8));
  let running = true;
  const turn = (): void => {
    server.receive();
    if (running && server.isOpen) setImmediate(turn);
  };
  turn();
  return {
    client,
    server,
    stop: () => {
      running = false;
      client.close();
      server.close();
    },
  };
}

describe.skipIf(native === null)('the client', () => {
  it('asks, and has descriptors of what can be mapped', async () => {
    const memory = native!.memoryFile('bar', 8192);
    const areas = [{ offset: 4096, size: 4096 }];
    const before = readdirSync('/proc/self/fd').length;
    const { client, stop } = pair((message, server) => {
      const { argsz, index } = v.parseRegionInfoQuery(message.payload);
      const info = {
        flags: v.RegionFlag.mmap,
        index,
        size: 8192,
        offset: 0,
        areas: index === 0 ? areas : [],
      };
      const payload = v.encodeRegionInfo(info, argsz);
      server.send(v.encodeReply(message.id, message.command, payload), Int32Array.of(memory));
    });
    const region = await client.region(0);
    expect(region).toMatchObject({ size: 8192, mappable: areas });
    new Uint8Array(native!.mapDescriptor(region.descriptor, 4096, 4096, 1))[5] = 7;
    expect(new Uint8Array(native!.mapDescriptor(memory, 0, 8192, 1))[4101]).toBe(7);
    const whole = await client.region(1);
    expect(whole.mappable).toEqual([{ offset: 0, size: 8192 }]);
    for (const fd of [region.descriptor, whole.descriptor]) closeSync(fd);
    stop();
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    closeSync(memory);
  });

  it('tells errors apart: refused, no reply that was asked for, ended', async () => {
    const { client, server, stop } = pair((message) => {
      if (message.command === v.Command.deviceReset) {
        server.send(v.encodeErrorReply(message.id, message.command, v.Errno.EBUSY));
      } else if (message.command === v.Command.dmaMap) {
        server.send(v.encodeReply(message.id + 1, message.command));
      }
    });
    await expect(client.reset()).rejects.toMatchObject({
      code: 'EBUSY',
      message: 'the server refuses deviceReset (EBUSY)',
    });
    const ends: string[] = [];
    client.onClosed = (error) => ends.push(error.message);
    const waiting = client.deviceInfo();
    await expect(client.mapDma(0, 4096, server.fd, 0)).rejects.toThrow('which was not sent');
    await expect(waiting).rejects.toThrow('which was not sent');
    expect(ends).toEqual(['a reply to dmaMap 3, which was not sent']);
    await expect(client.reset()).rejects.toThrow('has been closed');
    stop();
  });

  it('refuses what the server asks for, and is told of its end', async () => {
    let refused = 0;
    const { client, server, stop } = pair((message) => {
      if ((message.flags & v.HeaderFlag.error) !== 0) refused = message.error;
    });
    server.send(v.encodeCommand(9, v.Command.dmaRead, v.encodeDmaAccess(0, 4)));
    await expect.poll(() => refused).toBe(v.Errno.EOPNOTSUPP);
    const waiting = client.reset();
    const ended = new Promise<Error>((resolve) => {
      client.onClosed = resolve;
    });
    server.close();
    await expect(waiting).rejects.toThrow('the server has closed the connection');
    expect((await ended).message).toBe('the server has closed the connection');
    expect([client.isOpen, client.pending]).toEqual([false, 0]);
    stop();
  });

  it('makes writes that want no reply', () => {
    const message = v.postedWrite(v.PciRegion.bar0);
    v.fillPostedWrite(v.postedWriteView(message), 0x1008, 0x1234_5678);
    const header = v.parseHeader(message, 4096);
    expect(header).toMatchObject({ command: v.Command.regionWrite, size: 36, flags: v.HeaderFlag.noReply });
    const access = v.parseRegionAccess(message.subarray(v.HEADER_BYTES), true, 64);
    expect(access).toMatchObject({ offset: 0x1008, region: 0, count: 4 });
    expect([...access.data]).toEqual([0x78, 0x56, 0x34, 0x12]);
  });
});
