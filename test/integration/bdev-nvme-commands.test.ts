/** The bdev module nvme: raw commands, injected errors, health and statistics. */

import { connect } from '@spdk-ts/nvme';
import { cns, encodeSqe, nvmOpcode } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pattern } from '../host/index.ts';
import { freePort, type Json, Target } from '../linux-guest/target.ts';

const BACK = 'nqn.2026-11.io.spdk-ts:back';
const FRONT = 'nqn.2026-11.io.spdk-ts:front';

let back: Target;
let front: Target;
let frontPort: number;
beforeAll(async () => {
  [back, front] = [await Target.start(), await Target.start()];
  const port = await freePort();
  frontPort = await freePort();
  await back.createMalloc('Malloc0', 8 * 1024 * 1024);
  await back.export(BACK, ['Malloc0'], port, 'SERIAL');
  await front.rpc('bdev_nvme_set_options', { bdev_retry_count: 1 });
  await front.rpc('bdev_nvme_attach_controller', {
    ...{ name: 'Nvme0', trtype: 'TCP', traddr: '127.0.0.1', trsvcid: String(port), subnqn: BACK },
  });
  await front.export(FRONT, ['Nvme0n1'], frontPort);
});
afterAll(async () => {
  for (const target of [front, back]) {
    await target?.stop();
    await target?.dispose();
  }
});

const entry = (fields: Parameters<typeof encodeSqe>[2]): string => {
  const bytes = Buffer.alloc(64);
  encodeSqe(new DataView(bytes.buffer, bytes.byteOffset), 0, fields);
  return bytes.toString('base64url');
};
const send = (cmd_type: string, data_direction: string, cmdbuf: string, more: object = {}): Promise<Json> =>
  front.rpc('bdev_nvme_send_cmd', { name: 'Nvme0', cmd_type, data_direction, cmdbuf, ...more });
const statusOf = ({ cpl }: Json): number => Buffer.from(cpl, 'base64url').readUInt16LE(14) >>> 1;

it('sends commands as they are', async () => {
  const told = await send('admin', 'c2h', entry({ opcode: 0x06, cdw10: cns.controller }), { data_len: 4096 });
  expect(Buffer.from(told.cpl, 'base64url').length).toBe(16);
  expect(statusOf(told)).toBe(0);
  expect(Buffer.from(told.data, 'base64url').toString('latin1', 4, 24).trim()).toBe('SERIAL');
  const data = pattern(1024, 3);
  const range = { nsid: 1, cdw10: 7, cdw12: 1 };
  const write = { data: data.toString('base64url') };
  expect(statusOf(await send('io', 'h2c', entry({ opcode: nvmOpcode.write, ...range }), write))).toBe(0);
  const read = await send('io', 'c2h', entry({ opcode: nvmOpcode.read, ...range }), { data_len: 1024 });
  expect(Buffer.compare(Buffer.from(read.data, 'base64url'), data)).toBe(0);
  // A status other than success is the answer, not an error.
  const wrong = await send('admin', 'c2h', entry({ opcode: 0xc1 }));
  expect(statusOf(wrong) & 0x7ff).toBe(0x01);
});

it('says what cannot be sent', async () => {
  const identify = entry({ opcode: 0x06, cdw10: cns.controller });
  const refused = (message: string, ...[type, way, buffer, more]: Parameters<typeof send>) =>
    expect(send(type, way, buffer, more)).rejects.toThrow(message);
  await refused('cmdbuf is not base64url', 'admin', 'c2h', '!');
  await refused('cmdbuf has 3 bytes', 'admin', 'c2h', 'AAAA');
  await refused('metadata cannot be apart', 'admin', 'c2h', identify, { metadata_len: 8 });
  await refused('data_direction is not h2c', 'admin', 'c2h', identify, { data: 'AAAA' });
  await refused('opcode 6 has its data go the other way', 'admin', 'h2c', identify, { data: 'AAAA' });
  await expect(
    front.rpc('bdev_nvme_send_cmd', {
      ...{ name: 'None', cmd_type: 'admin', data_direction: 'c2h', cmdbuf: identify },
    }),
  ).rejects.toMatchObject({ code: -19 });
});

it('injects errors into commands', async () => {
  await using connection = await connect(`trtype:TCP traddr:127.0.0.1 trsvcid:${frontPort} subnqn:${FRONT}`);
  const namespace = connection.namespace(1);
  const read = (): Promise<string> =>
    namespace.read(0, 8).then(
      () => 'read',
      (error: Error) => /\(sct .*\)/.exec(error.message)![0],
    );
  expect(await read()).toBe('read');
  const inject = (more: object) =>
    front.rpc('bdev_nvme_add_error_injection', { name: 'Nvme0', cmd_type: 'io', opc: 2, ...more });
  const remove = (cmd_type: string) =>
    front.rpc('bdev_nvme_remove_error_injection', { name: 'Nvme0', cmd_type, opc: 2 });
  // Of the medium: not tried again.
  await inject({ sct: 2, sc: 0x81, err_count: 2 });
  expect([await read(), await read(), await read()]).toEqual(['(sct 2, sc 81h)', '(sct 2, sc 81h)', 'read']);
  // What may pass is tried again, once here.
  await inject({ sct: 0, sc: 0x06, err_count: 1, do_not_submit: true, timeout_in_us: 1000 });
  expect(await read()).toBe('read');
  await inject({ sct: 0, sc: 0x06, err_count: 2, do_not_submit: true });
  expect([await read(), await read()]).toEqual(['(sct 0, sc 06h)', 'read']);
  await inject({ sct: 2, sc: 0x81, err_count: 100 });
  await remove('io');
  expect(await read()).toBe('read');
  const health = () => front.rpc('bdev_nvme_get_controller_health_info', { name: 'Nvme0' });
  const fault = { name: 'Nvme0', cmd_type: 'admin', opc: 2, sct: 0, sc: 0x09, do_not_submit: true };
  await front.rpc('bdev_nvme_add_error_injection', fault);
  await expect(health()).rejects.toMatchObject({ code: -5 });
  expect(await health()).toMatchObject({ serial_number: 'SERIAL', available_spare_percentage: 100 });
  await expect(inject({ sct: 8 })).rejects.toThrow('sct is 8');
});

it('counts what the transport does', async () => {
  const totals = async (): Promise<Json> => {
    const { poll_groups } = await front.rpc('bdev_nvme_get_transport_statistics');
    const all = poll_groups.flatMap(({ transports }: Json) => transports);
    const sum = (name: string): number => all.reduce((total: number, one: Json) => total + one[name], 0);
    expect(all.every(({ trname }: Json) => trname === 'TCP')).toBe(true);
    return { sent: sum('submitted_requests'), ended: sum('nvme_completions'), polls: sum('polls') };
  };
  const before = await totals();
  expect(before.sent).toBeGreaterThanOrEqual(before.ended);
  const identify = entry({ opcode: 0x06, cdw10: cns.controller });
  for (let i = 0; i < 10; i++) await send('admin', 'c2h', identify, { data_len: 4096 });
  const after = await totals();
  expect(after.sent - before.sent).toBeGreaterThanOrEqual(10);
  expect(after.ended - before.ended).toBeGreaterThanOrEqual(10);
  expect(after.polls).toBeGreaterThan(before.polls);
});
