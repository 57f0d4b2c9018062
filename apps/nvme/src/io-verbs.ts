import { readFileSync } from 'node:fs';
import { type CommandSender, describeStatus } from '@spdk-ts/nvme';
import {
  decodeKvList,
  decodeZoneReport,
  kvKeyDwords,
  kvOpcode,
  kvStoreOption,
  ZONE_DESCRIPTOR_SIZE,
  ZONE_REPORT_HEADER_SIZE,
  ZONE_SEND_ALL,
  znsOpcode,
  zoneSendAction,
  zoneState,
} from '@spdk-ts/nvme-spec';
import type { Command } from 'commander';
import type { Device } from './device.ts';
import { number } from './options.ts';
import { hexLines } from './output.ts';
import { type Found, verb } from './verb.ts';

const DATA_MAX = 128 * 1024;
const done = (text: string, json: object = {}): Found => ({ text: [text], json });

interface PassthruValues {
  readonly opcode: number;
  readonly namespaceId: number;
  readonly dataLen: number;
  readonly inputFile?: string;
  readonly read?: boolean;
  readonly write?: boolean;
  readonly rawBinary?: boolean;
  readonly [cdw: `cdw${number}`]: number;
}

function passthruOptions(command: Command): Command {
  command
    .requiredOption('-O, --opcode <opcode>', 'opcode', number(0xff))
    .option('-n, --namespace-id <nsid>', 'namespace', number(), 0)
    .option('-l, --data-len <bytes>', 'bytes of data', number(DATA_MAX), 0)
    .option('-i, --input-file <file>', 'data to send')
    .option('-r, --read', 'data comes from the controller')
    .option('-w, --write', 'data goes to the controller')
    .option('-b, --raw-binary', 'write the data as it is');
  for (const n of [2, 3, 10, 11, 12, 13, 14, 15])
    command.option(`--cdw${n} <value>`, `dword ${n}`, number(), 0);
  return command;
}

async function passthru(commands: CommandSender, values: PassthruValues): Promise<Found> {
  const { opcode, namespaceId: nsid, dataLen, inputFile, read, write } = values;
  if (read === true && write === true) throw new Error('--read and --write exclude each other');
  if (dataLen > 0 && read !== true && write !== true) throw new Error('--data-len needs --read or --write');
  const cdw = (n: number): number => values[`cdw${n}`]!;
  const fields = {
    ...{ opcode, nsid, cdw2: cdw(2), cdw3: cdw(3), cdw10: cdw(10), cdw11: cdw(11), cdw12: cdw(12) },
    ...{ cdw13: cdw(13), cdw14: cdw(14), cdw15: cdw(15) },
  };
  let data = {};
  if (read === true) data = { in: dataLen, may_be_short: true };
  else if (write === true) {
    const out = new Uint8Array(dataLen);
    if (inputFile !== undefined) out.set(new Uint8Array(readFileSync(inputFile)).subarray(0, dataLen));
    data = { out };
  }
  const { status, dw0, dw1, data: back } = await commands.run(fields, data);
  if (status !== 0) throw new Error(`NVMe status: ${describeStatus(status)}`);
  if (values.rawBinary === true) {
    process.stdout.write(back);
    return { text: [], json: {} };
  }
  const head = `NVMe command result:${dw0.toString(16).padStart(8, '0')}`;
  return {
    text: [head, ...(back.length > 0 ? hexLines(back) : [])],
    json: { result: dw0, result_high: dw1, data: back },
  };
}

/** Any command. */
export function addPassthruVerbs(program: Command): void {
  verb<PassthruValues>(program, 'admin-passthru', 'Any Admin command', passthruOptions, (device, values) =>
    passthru(device.admin, values),
  );
  verb<PassthruValues>(program, 'io-passthru', 'Any I/O command', passthruOptions, (device, values) =>
    passthru(device.io, values),
  );
}

interface BlockValues {
  readonly namespaceId: number;
  readonly startBlock: number;
  readonly blockCount: number;
  readonly data?: string;
}

const blockOptions = (command: Command): Command =>
  command
    .option('-n, --namespace-id <nsid>', 'namespace', number(), 1)
    .option('-s, --start-block <lba>', 'first block', number(Number.MAX_SAFE_INTEGER), 0)
    .option('-c, --block-count <count>', 'blocks, one less (as nvme-cli has it)', number(0xffff), 0);

/** Blocks. */
export function addBlockVerbs(program: Command): void {
  verb<BlockValues>(program, 'read', 'Read blocks', blockOptions, async (device, values) => {
    const data = await device.namespace(values.namespaceId).read(values.startBlock, values.blockCount + 1);
    return { text: hexLines(data), json: { data } };
  });
  verb<BlockValues>(
    program,
    'write',
    'Write blocks',
    (command) =>
      blockOptions(command).requiredOption('-d, --data <file>', 'what to write; what it lacks is zeroes'),
    async (device, values) => {
      const namespace = device.namespace(values.namespaceId);
      const out = new Uint8Array((values.blockCount + 1) * namespace.info.block_size);
      out.set(new Uint8Array(readFileSync(values.data!)).subarray(0, out.length));
      await namespace.write(values.startBlock, out);
      return done('write: Success', { bytes: out.length });
    },
  );
  verb<BlockValues>(program, 'flush', 'Flush', blockOptions, async (device, values) => {
    await device.namespace(values.namespaceId).flush();
    return done('NVMe Flush: success');
  });
}

const stateNames = new Map<number, string>(Object.entries(zoneState).map(([name, code]) => [code, name]));

async function reportZones(
  device: Device,
  { namespaceId, startBlock, descs }: BlockValues & { descs: number },
): Promise<Found> {
  const { io } = device;
  const length = Math.min(DATA_MAX, ZONE_REPORT_HEADER_SIZE + descs * ZONE_DESCRIPTOR_SIZE);
  const fields = {
    ...{ opcode: znsOpcode.zoneManagementReceive, nsid: namespaceId, cdw12: length / 4 - 1 },
    ...{ cdw10: startBlock >>> 0, cdw11: Math.floor(startBlock / 2 ** 32) },
  };
  const { data } = await io.succeed(fields, { in: length, what: 'Zone Management Receive' });
  const { zones, descriptors } = decodeZoneReport(data);
  const line = ({ zslba, zcap, wp, zs }: (typeof descriptors)[number]): string =>
    `SLBA: 0x${zslba.toString(16)} WP: ${wp === null ? '-' : `0x${wp.toString(16)}`} Cap: 0x${zcap.toString(16)} State: ${stateNames.get(zs) ?? zs}`;
  return {
    text: [`nr_zones: ${zones}`, ...descriptors.map(line)],
    json: { nr_zones: zones, zones: descriptors },
  };
}

/** Zoned namespaces. */
export function addZoneVerbs(program: Command): void {
  const zns = program.command('zns').description('zoned namespaces');
  verb<BlockValues & { descs: number }>(
    zns,
    'report-zones',
    'States and write pointers of zones',
    (command) =>
      blockOptions(command).option('-d, --descs <count>', 'zones to show at most', number(2047), 64),
    reportZones,
  );
  for (const [name, action] of Object.entries(zoneSendAction)) {
    if (action > zoneSendAction.offline) continue;
    verb<BlockValues & { selectAll?: boolean }>(
      zns,
      `${name}-zone`,
      `Zone Management Send: ${name}`,
      (command) => blockOptions(command).option('-a, --select-all', 'all zones'),
      async (device, { namespaceId, startBlock, selectAll }) => {
        const fields = {
          ...{ opcode: znsOpcode.zoneManagementSend, nsid: namespaceId },
          ...{ cdw10: startBlock >>> 0, cdw11: Math.floor(startBlock / 2 ** 32) },
          cdw13: action | (selectAll === true ? ZONE_SEND_ALL : 0),
        };
        await device.io.succeed(fields, { what: `Zone Management Send (${name})` });
        return done(`zns-${name}-zone: Success, action:${action} zone:${startBlock} nsid:${namespaceId}`);
      },
    );
  }
  verb<BlockValues>(
    zns,
    'zone-append',
    'Zone Append',
    (command) => blockOptions(command).requiredOption('-d, --data <file>', 'what to write: whole blocks'),
    async (device, { namespaceId, startBlock, data }) => {
      const out = new Uint8Array(readFileSync(data!));
      const blocks = out.length / device.namespace(namespaceId).info.block_size;
      if (!Number.isInteger(blocks) || blocks === 0)
        throw new Error(`${data} is not a number of whole blocks`);
      const fields = {
        ...{ opcode: znsOpcode.zoneAppend, nsid: namespaceId, cdw12: blocks - 1 },
        ...{ cdw10: startBlock >>> 0, cdw11: Math.floor(startBlock / 2 ** 32) },
      };
      const { dw0, dw1 } = await device.io.succeed(fields, { out, what: 'Zone Append' });
      const lba = dw0 + dw1 * 2 ** 32;
      return done(`Success appended data to LBA ${lba.toString(16)}`, { lba });
    },
  );
}

interface KeyValues {
  readonly namespaceId: number;
  readonly key: string;
  readonly value?: string;
  readonly dataLen: number;
  readonly onlyAdd?: boolean;
  readonly onlyUpdate?: boolean;
}

const keyOptions = (command: Command): Command =>
  command
    .option('-n, --namespace-id <nsid>', 'namespace', number(), 1)
    .option('-k, --key <key>', 'key, up to 16 bytes', '')
    .option('-l, --data-len <bytes>', 'room for what comes back', number(DATA_MAX), 4096);

function keyFields(opcode: number, { namespaceId, key }: KeyValues, bytes: number, options = 0) {
  const encoded = new TextEncoder().encode(key);
  return {
    opcode,
    nsid: namespaceId,
    cdw10: bytes,
    cdw11: encoded.length | options,
    ...kvKeyDwords(encoded),
  };
}

/** Key value namespaces. */
export function addKeyVerbs(program: Command): void {
  const kv = program.command('kv').description('key value namespaces');
  verb<KeyValues>(
    kv,
    'store',
    'Store a value',
    (command) =>
      keyOptions(command)
        .requiredOption('--value <text>', 'the value')
        .option('--only-update', 'fail if there is no such key')
        .option('--only-add', 'fail if there is'),
    async (device, values) => {
      const out = new TextEncoder().encode(values.value);
      const add = values.onlyAdd === true ? kvStoreOption.mustNotExist : 0;
      const options = add | (values.onlyUpdate === true ? kvStoreOption.mustExist : 0);
      const fields = keyFields(kvOpcode.store, values, out.length, options);
      await device.io.succeed(fields, { ...(out.length > 0 && { out }), what: 'Store' });
      return done('store: Success', { bytes: out.length });
    },
  );
  verb<KeyValues>(kv, 'retrieve', 'Retrieve a value', keyOptions, async (device, values) => {
    const fields = keyFields(kvOpcode.retrieve, values, values.dataLen);
    const { dw0, data } = await device.io.succeed(fields, {
      in: values.dataLen,
      may_be_short: true,
      what: 'Retrieve',
    });
    const value = data.subarray(0, Math.min(dw0, data.length));
    return { text: [`length: ${dw0}`, ...hexLines(value)], json: { length: dw0, value } };
  });
  verb<KeyValues>(kv, 'list', 'Keys from one on', keyOptions, async (device, values) => {
    const fields = keyFields(kvOpcode.list, values, values.dataLen);
    const { data } = await device.io.succeed(fields, {
      in: values.dataLen,
      may_be_short: true,
      what: 'List',
    });
    const keys = decodeKvList(data).map((key) => new TextDecoder().decode(key));
    return { text: keys, json: { keys } };
  });
  for (const name of ['delete', 'exist'] as const)
    verb<KeyValues>(
      kv,
      name,
      name === 'delete' ? 'Delete a key' : 'Tell whether a key exists',
      keyOptions,
      async (device, values) => {
        await device.io.succeed(keyFields(kvOpcode[name], values, 0), { what: name });
        return done(`${name}: Success`);
      },
    );
}
