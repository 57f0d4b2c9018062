import { closeSync, readdirSync } from 'node:fs';
import { native } from '@spdk-ts/native';
import { describe, expect, it } from 'vitest';
import * as v from './index.ts';

const limits = v.channelLimits(8192, 4);
const none = new Int32Array(0);

/** Keeps what a channel tells. */
class Ear implements v.ChannelHandler {
  readonly messages: { id: number; command: number; payload: string; fds: number }[] = [];
  readonly taken: number[] = [];
  ended: Error | null | undefined;
  take = 0;

  message(message: v.Message): void {
    const { id, command, payload, descriptors } = message;
    this.messages.push({ id, command, payload: Buffer.from(payload).toString(), fds: descriptors.count });
    for (let i = 0; i < this.take; i++) this.taken.push(descriptors.take(i));
  }
  closed(error: Error | null): void {
    this.ended = error;
  }
}

describe.skipIf(native === null)('a channel', () => {
  const addon = native!;
  const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));
  const open = (): number => readdirSync('/proc/self/fd').length;

  it('hands over messages whole, with the descriptors that came with each, and closes those that nobody takes', () => {
    const before = open();
    const [a, b] = addon.socketPair();
    const ear = new Ear();
    const channel = new v.Channel(b, ear, limits);
    const sender = new v.Channel(a, new Ear(), limits);
    const event = addon.eventFd();
    sender.send(v.encodeCommand(1, 2, text('first')));
    sender.send(v.encodeCommand(2, 3, text('second')), Int32Array.of(event, event));
    sender.send(v.encodeCommand(3, 4));
    sender.send(v.encodeCommand(4, 5, text('x'.repeat(8000))), Int32Array.of(event));
    ear.take = 1;
    expect(channel.receive()).toBe(4);
    expect(ear.messages).toEqual([
      { id: 1, command: 2, payload: 'first', fds: 0 },
      { id: 2, command: 3, payload: 'second', fds: 2 },
      { id: 3, command: 4, payload: '', fds: 0 },
      { id: 4, command: 5, payload: 'x'.repeat(8000), fds: 1 },
    ]);
    for (const fd of ear.taken.filter((taken) => taken >= 0)) closeSync(fd);
    sender.close();
    channel.receive();
    expect(ear.ended).toBe(null);
    closeSync(event);
    expect(open()).toBe(before);
  });

  it('puts messages together from any pieces', () => {
    const [a, b] = addon.socketPair();
    const ear = new Ear();
    const channel = new v.Channel(b, ear, limits);
    const bytes = new Uint8Array([
      ...v.encodeCommand(1, 9, text('hello')),
      ...v.encodeReply(2, 10, text('world')),
    ]);
    for (const byte of bytes) {
      addon.sendDescriptors(a, Uint8Array.of(byte), none);
      channel.receive();
    }
    expect(ear.messages.map(({ id, payload }) => [id, payload])).toEqual([
      [1, 'hello'],
      [2, 'world'],
    ]);
    addon.sendDescriptors(a, bytes.subarray(0, 20), none);
    closeSync(a);
    channel.receive();
    expect(ear.ended).toMatchObject({ code: 'EPROTO' });
  });

  it('ends at a message that cannot be, or too many descriptors, and keeps none open', () => {
    const before = open();
    for (const [bytes, fds] of [
      [v.encodeMessage({ id: 0, command: 1, flags: 2 }), 0],
      [v.encodeCommand(0, 1, new Uint8Array(9000)), 0],
      [v.encodeCommand(0, 1), 5],
    ] as const) {
      const [a, b] = addon.socketPair();
      const ear = new Ear();
      const channel = new v.Channel(b, ear, limits);
      addon.sendDescriptors(a, bytes, new Int32Array(fds).fill(a));
      channel.receive();
      expect(ear.ended).toBeInstanceOf(v.VfioUserError);
      expect(ear.messages).toEqual([]);
      expect(channel.isOpen).toBe(false);
      closeSync(a);
    }
    expect(open()).toBe(before);
  });

  it('keeps what the socket does not take, in order, and receives nothing meanwhile', () => {
    const before = open();
    const [a, b] = addon.socketPair();
    const ear = new Ear();
    const reader = new v.Channel(b, ear, limits);
    const sender = new v.Channel(a, new Ear(), limits);
    const event = addon.eventFd();
    let sent = 0;
    while (!sender.unsent) sender.send(v.encodeCommand(sent++, 9, text('y'.repeat(4000))));
    sender.send(v.encodeCommand(sent++, 10), Int32Array.of(event));
    closeSync(event);
    addon.sendDescriptors(b, v.encodeCommand(7, 7), none);
    expect(sender.receive()).toBe(0);
    ear.take = 1;
    for (let rounds = 0; rounds < 10_000 && (sender.unsent || ear.messages.length < sent); rounds++) {
      reader.receive();
      sender.flush();
    }
    expect(ear.messages.map(({ id }) => id)).toEqual(Array.from({ length: sent }, (_, i) => i));
    expect(ear.messages.at(-1)!.fds).toBe(1);
    for (const fd of ear.taken.filter((taken) => taken >= 0)) closeSync(fd);
    expect(sender.receive()).toBe(1);
    for (const channel of [sender, reader]) channel.close();
    expect(open()).toBe(before);
  });
});
