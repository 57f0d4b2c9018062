import { resolve } from 'node:path';
import { readKeyFile } from '@spdk-ts/keyring';
import { connect, type NvmeOptions } from '@spdk-ts/nvme';
import { type Command, InvalidArgumentError } from 'commander';
import { type Device, RemoteDevice } from './device.ts';

/** Values of the options that every verb has. */
export interface CommonValues {
  readonly hostnqn?: string;
  readonly hostid?: string;
  readonly dhchapSecret?: string;
  readonly dhchapCtrlSecret?: string;
  readonly tlsKey?: string;
  readonly pskPath?: string;
  readonly pskVersion: number;
  readonly hdrDigest?: boolean;
  readonly dataDigest?: boolean;
  readonly timeout: number;
  readonly outputFormat: 'normal' | 'json';
}

/** A number, decimal or `0x…`, up to `max`. */
export const number =
  (max = 0xffff_ffff) =>
  (text: string): number => {
    const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value) || value > max)
      throw new InvalidArgumentError(`give a number up to ${max}, decimal or 0x….`);
    return value;
  };

function format(text: string): string {
  if (text !== 'normal' && text !== 'json') throw new InvalidArgumentError('normal and json are had.');
  return text;
}

/** Gives a verb its transport id and the options that all have. */
export function common(command: Command): Command {
  return command
    .argument(
      '<where>',
      'transport id ("trtype:TCP traddr:192.0.2.1 trsvcid:4420 subnqn:nqn.…"), or a device of this machine (/dev/ng0n1)',
    )
    .option('-o, --output-format <format>', 'normal or json', format, 'normal')
    .option('--hostnqn <nqn>', 'name of this host')
    .option('--hostid <uuid>', 'its identifier')
    .option('--dhchap-secret <key>', 'key of DH-HMAC-CHAP: DHHC-1:…')
    .option('--dhchap-ctrl-secret <key>', 'key that the controller is to prove that it has')
    .option('--tls-key <key>', 'key of TLS: NVMeTLSkey-1:… (others may see it in the list of processes)')
    .option('--psk-path <file>', 'file with the key of TLS, which only you may read')
    .option('--psk-version <version>', 'of the PSK identity: 0 or 1', number(1), 0)
    .option('--hdr-digest', 'ask for header digests')
    .option('--data-digest', 'ask for data digests')
    .option('--timeout <ms>', 'how long a command may take', number(), 30_000);
}

function nvmeOptions(values: CommonValues): Partial<NvmeOptions> {
  const { hostnqn, hostid, dhchapSecret, dhchapCtrlSecret, timeout } = values;
  return {
    ...{ num_io_queues: 1, io_queue_size: 128, admin_timeout_ms: timeout, timeout_ms: timeout },
    ...{ header_digest: values.hdrDigest === true, data_digest: values.dataDigest === true },
    ...(hostnqn !== undefined && { hostnqn }),
    ...(hostid !== undefined && { hostid: hostid.replaceAll('-', '') }),
    ...{ psk: pskOf(values), psk_version: values.pskVersion === 1 ? (1 as const) : (0 as const) },
    ...(dhchapSecret !== undefined && { dhchap_key: dhchapSecret }),
    ...(dhchapCtrlSecret !== undefined && { dhchap_ctrlr_key: dhchapCtrlSecret }),
  };
}

function pskOf({ tlsKey, pskPath }: CommonValues): string {
  if (tlsKey !== undefined && pskPath !== undefined)
    throw new Error('--tls-key and --psk-path exclude each other');
  return pskPath === undefined ? (tlsKey ?? '') : readKeyFile(resolve(pskPath));
}

/** Connects, or opens a device of this machine, calls `use`, and closes again. */
export async function withDevice<T>(
  where: string,
  values: CommonValues,
  use: (device: Device) => Promise<T>,
): Promise<T> {
  const device = await openDevice(where, values);
  try {
    return await use(device);
  } finally {
    await device.close();
  }
}

async function openDevice(where: string, values: CommonValues): Promise<Device> {
  if (!where.startsWith('/')) return new RemoteDevice(await connect(where, nvmeOptions(values)));
  // Of no use to those who connect.
  const { LocalDevice } = await import('./local-device.ts');
  return await LocalDevice.open(where);
}
