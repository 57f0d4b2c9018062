/** NVMe commands that our target does not know, handed through an nvme bdev to the controller behind it. */
import { connect } from '@spdk-ts/nvme';
import { cns, genericStatus, identifyController, status, statusType, viewOf } from '@spdk-ts/nvme-spec';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pattern } from '../host/index.ts';
import { freePort, type Json, Target } from '../linux-guest/target.ts';
import { type Answer, SCRIPT_NQN, ScriptTarget } from '../nvme-host/script-target.ts';

const NQN = 'nqn.2026-11.io.spdk-ts:handed-on';
const VENDOR_STATUS = status(statusType.vendorSpecific, 0x42, true);
const INVALID_OPCODE = status(statusType.generic, genericStatus.invalidOpcode, true);

interface Came {
  readonly qid: number;
  readonly opcode: number;
  readonly dwords: readonly number[];
  readonly data: Uint8Array;
}

let device: ScriptTarget;
let target: Target;
let port: number;
/** Vendor specific commands that came to the device, and what it answers. */
let came: Came[];
let answer: Answer;
beforeEach(() => {
  came = [];
  answer = {};
});

const script = {
  answer({ qid, opcode, sqe, data }: { qid: number; opcode: number; sqe: Uint8Array; data: Uint8Array }) {
    if (opcode < 0x80 || (qid === 0 && opcode < 0xc0)) return null;
    const dwords = Array.from({ length: 16 }, (_, i) => viewOf(sqe).getUint32(i * 4, true));
    came.push({ qid, opcode, dwords, data });
    return answer;
  },
};

async function start(transport: object, config: object = {}): Promise<void> {
  device = await ScriptTarget.start();
  device.script = script;
  const calls = [{ method: 'nvmf_set_config', params: config }];
  target = await Target.start({ config: { subsystems: [{ subsystem: 'nvmf', config: calls }] } });
  port = await freePort();
  await target.rpc('bdev_nvme_attach_controller', {
    ...{ name: 'Nvme0', trtype: 'TCP', traddr: '127.0.0.1', trsvcid: String(device.port) },
    subnqn: SCRIPT_NQN,
  });
  await target.rpc('nvmf_create_transport', { trtype: 'TCP', ...transport });
  await target.rpc('nvmf_create_subsystem', { nqn: NQN, allow_any_host: true, max_namespaces: 1 });
  await target.rpc('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'Nvme0n1' } });
  const listen_address = { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: String(port) };
  await target.rpc('nvmf_subsystem_add_listener', { nqn: NQN, listen_address });
}
async function stop(): Promise<void> {
  await target?.stop();
  await target?.dispose();
  await device?.stop();
}
const toTarget = () => connect(`trtype:TCP traddr:127.0.0.1 trsvcid:${port} subnqn:${NQN}`);

const words = {
  ...{ cdw2: 0x1002, cdw3: 0x1003, cdw10: 0x100a, cdw11: 0x100b, cdw12: 0x100c },
  ...{ cdw13: 0x100d, cdw14: 0x100e, cdw15: 0xffff_100f },
};
const wordsThere = [0x1002, 0x1003, 0x100a, 0x100b, 0x100c, 0x100d, 0x100e, 0xffff_100f];
const wordsOf = ({ dwords }: Came) => [...dwords.slice(2, 4), ...dwords.slice(10)];

describe('an nvme bdev', () => {
  beforeAll(() =>
    start(
      {},
      { admin_cmd_passthru: { vendor_specific: true, identify_ctrlr: true, get_set_features: true } },
    ),
  );
  afterAll(stop);
  afterEach(async () => {
    // Nothing of a command is left in those that follow.
    await using connection = await toTarget();
    const namespace = connection.namespace(1);
    for (let round = 0; round < 4; round++) {
      const data = pattern(4096, round);
      await namespace.write(64, data);
      expect(Buffer.compare(await namespace.read(64, 8), data)).toBe(0);
    }
  });

  it('takes NVMe commands, and a part of it does not', async () => {
    const [bdev] = await target.rpc('bdev_get_bdevs', { name: 'Nvme0n1' });
    expect(bdev.supported_io_types).toMatchObject({ nvme_admin: true, nvme_io: true, nvme_io_md: false });
    // Nobody can tell which blocks of the whole a command is for.
    const other = await ScriptTarget.start();
    const at = { trtype: 'TCP', traddr: '127.0.0.1', trsvcid: String(other.port), subnqn: SCRIPT_NQN };
    await target.rpc('bdev_nvme_attach_controller', { name: 'Whole', ...at });
    const [name] = await target.rpc('bdev_split_create', { base_bdev: 'Wholen1', split_count: 2 });
    const [part] = await target.rpc('bdev_get_bdevs', { name });
    expect(part.supported_io_types).toMatchObject({ read: true, nvme_admin: false, nvme_io: false });
    await target.rpc('bdev_nvme_detach_controller', { name: 'Whole' });
    await other.stop();
  });

  it('is handed commands with data, without, and their words', async () => {
    await using connection = await toTarget();
    const out = pattern(512, 7);
    answer = { dw0: 0xdead_beef };
    const wrote = await connection.io.run({ opcode: 0x81, nsid: 1, ...words }, { out });
    expect([wrote.status, wrote.dw0]).toEqual([0, 0xdead_beef]);
    answer = { data: pattern(1024, 8), dw0: 5 };
    const read = await connection.io.run({ opcode: 0x82, nsid: 1, ...words }, { in: 1024 });
    expect([read.status, read.dw0, Buffer.compare(read.data, answer.data!)]).toEqual([0, 5, 0]);
    answer = {};
    expect((await connection.io.run({ opcode: 0x80, nsid: 1, ...words })).status).toBe(0);
    expect(came.map(({ opcode, dwords }) => [opcode, dwords[1]])).toEqual([
      [0x81, 1],
      [0x82, 1],
      [0x80, 1],
    ]);
    for (const one of came) expect([one.qid > 0, ...wordsOf(one)]).toEqual([true, ...wordsThere]);
    expect(Buffer.compare(came[0]!.data, out)).toBe(0);
  });

  it('may return less than there is room for: the rest is zero', async () => {
    await using connection = await toTarget();
    const data = pattern(100, 3);
    answer = { data };
    const read = await connection.io.run({ opcode: 0x82, nsid: 1 }, { in: 4096 });
    expect(read.status).toBe(0);
    expect(Buffer.compare(read.data.subarray(0, 100), data)).toBe(0);
    expect(read.data.subarray(100).every((byte) => byte === 0)).toBe(true);
  });

  it('tells of the status that the controller gave', async () => {
    await using connection = await toTarget();
    answer = { status: VENDOR_STATUS };
    expect((await connection.io.run({ opcode: 0x80, nsid: 1 })).status & 0x7ff).toBe(VENDOR_STATUS & 0x7ff);
    answer = { status: INVALID_OPCODE };
    expect((await connection.io.run({ opcode: 0x80, nsid: 1 })).status).toBe(INVALID_OPCODE);
    answer = {};
    // Not of the controller: this namespace has no reservation key, and no second half of a fused operation.
    expect((await connection.io.run({ opcode: 0x80, nsid: 2 })).status & 0x7ff).toBe(
      genericStatus.invalidNamespaceOrFormat,
    );
  });

  it('is handed vendor specific Admin commands, and no others', async () => {
    await using connection = await toTarget();
    const out = pattern(512, 9);
    answer = { dw0: 77 };
    const wrote = await connection.adminCommand({ opcode: 0xc1, nsid: 1, ...words }, { out });
    expect([wrote.status, wrote.dw0]).toEqual([0, 77]);
    answer = { data: pattern(256, 4) };
    const read = await connection.adminCommand({ opcode: 0xc2, ...words }, { in: 512 });
    expect(read.status).toBe(0);
    expect(Buffer.compare(read.data.subarray(0, 256), answer.data!)).toBe(0);
    expect(read.data.subarray(256).every((byte) => byte === 0)).toBe(true);
    answer = { status: VENDOR_STATUS };
    const refused = await connection.adminCommand({ opcode: 0xc0, nsid: 0xffff_ffff });
    expect(refused.status & 0x7ff).toBe(VENDOR_STATUS & 0x7ff);
    expect(came.map(({ qid, opcode, dwords }) => [qid, opcode, dwords[1]])).toEqual([
      [0, 0xc1, 1],
      [0, 0xc2, 0],
      [0, 0xc0, 0xffff_ffff],
    ]);
    expect([wordsOf(came[0]!), wordsOf(came[1]!)]).toEqual([wordsThere, wordsThere]);
    expect(Buffer.compare(came[0]!.data, out)).toBe(0);
    // fw_update and sanitize are not on.
    for (const opcode of [0x10, 0x84])
      expect((await connection.adminCommand({ opcode })).status, `opcode ${opcode}`).toBe(INVALID_OPCODE);
  });

  it('says who its device is, and keeps what is the target’s', async () => {
    await using connection = await toTarget();
    const { data } = await connection.adminCommand({ opcode: 0x06, cdw10: cns.controller }, { in: 4096 });
    // The device of the script has no names.
    expect(identifyController.decode(data)).toMatchObject({ sn: '', mn: '', subnqn: NQN, nn: 1 });
    expect((await connection.identify()).ioccsz).toBeGreaterThan(4);
    // Features that are the target's stay there: the script's controller would grant four queues.
    const queues = await connection.adminCommand({ opcode: 0x0a, cdw10: 0x07 });
    expect(queues.dw0 & 0xffff).not.toBe(3);
  });

  it('fails commands while its controller is away, and takes them afterwards', async () => {
    await using connection = await toTarget();
    await target.rpc('bdev_nvme_disable_controller', { name: 'Nvme0' });
    expect((await connection.adminCommand({ opcode: 0xc0 })).status).not.toBe(0);
    await target.rpc('bdev_nvme_enable_controller', { name: 'Nvme0' });
    expect((await connection.adminCommand({ opcode: 0xc0 })).status).toBe(0);
    expect(came.length).toBe(1);
  });

  it('is configured to by what is saved', async () => {
    const { subsystems }: Json = await target.config();
    const { config } = subsystems.find(({ subsystem }: Json) => subsystem === 'nvmf');
    const saved = config.find(({ method }: Json) => method === 'nvmf_set_config');
    expect(saved.params.admin_cmd_passthru).toMatchObject({ vendor_specific: true, identify_ctrlr: true });
  });
});

describe('a transport that hands nothing on', () => {
  beforeAll(() => start({ disable_command_passthru: true }));
  afterAll(stop);

  it('refuses commands that it does not know', async () => {
    await using connection = await toTarget();
    expect((await connection.io.run({ opcode: 0x80, nsid: 1 })).status).toBe(INVALID_OPCODE);
    expect((await connection.adminCommand({ opcode: 0xc0 })).status).toBe(INVALID_OPCODE);
    expect(came).toEqual([]);
  });
});
