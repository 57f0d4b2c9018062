import {
  type DhchapGroupName,
  type DhchapHashName,
  dhchapGroup,
  dhchapHash,
} from '@spdk-ts/nvme-auth/identifiers';

/** What a controller is connected with. Cloneable. Times in ms, sizes in entries or bytes. */
export interface NvmeOptions {
  /** NQN of this host; empty: one made of this machine's id. */
  readonly hostnqn: string;
  /** Host identifier, 32 hexadecimal digits; empty: that of the NQN's UUID. */
  readonly hostid: string;
  /** Keys of DH-HMAC-CHAP, `DHHC-1:…`: this host's, and the controller's where it is to prove itself. Empty: none. */
  readonly dhchap_key: string;
  readonly dhchap_ctrlr_key: string;
  /** Key of TLS 1.3, in the interchange format: `NVMeTLSkey-1:…`. Empty: connections are not secured. */
  readonly psk: string;
  /** Version of the PSK identity that is named to the controller: 0, which all know, or 1, which has a digest of the key. */
  readonly psk_version: 0 | 1;
  /** What is offered in DH-HMAC-CHAP. */
  readonly dhchap_digests: readonly DhchapHashName[];
  readonly dhchap_dhgroups: readonly DhchapGroupName[];
  /** I/O queues to ask for at most. */
  readonly num_io_queues: number;
  /** Entries of an I/O queue, at most what the controller takes. */
  readonly io_queue_size: number;
  readonly admin_queue_size: number;
  /** 0: no keep alive. */
  readonly keep_alive_timeout_ms: number;
  readonly header_digest: boolean;
  readonly data_digest: boolean;
  /** Reads may then end without a completion of their own (C2HData with SUCCESS). */
  readonly disable_sq_flow_control: boolean;
  /** VFIOUSER: how doorbells are written. `auto`: mapped where the server lets them be, else shadow, else by message. */
  readonly doorbells: 'auto' | 'mapped' | 'shadow' | 'trapped';
  /** VFIOUSER: completions interrupt a reactor that sleeps. False is for reactors that never do. */
  readonly interrupts: boolean;
  /** For a connection, its ICResp, and each command of the initialization. */
  readonly connect_timeout_ms: number;
  /** For an Admin command. */
  readonly admin_timeout_ms: number;
  /** For an I/O command: then it is aborted, and after as long again the controller is reset. 0: never. */
  readonly timeout_ms: number;
  /** From losing the controller to giving it up. -1: never; 0: at once, there is no reconnecting. */
  readonly ctrlr_loss_timeout_ms: number;
  /** First delay of a reconnect; each further one is twice as long, up to a minute or the time that is left. */
  readonly reconnect_delay_ms: number;
}

/** SPDK's defaults, where it has the option. */
export const defaultNvmeOptions: NvmeOptions = {
  hostnqn: '',
  hostid: '',
  dhchap_key: '',
  dhchap_ctrlr_key: '',
  psk: '',
  psk_version: 0,
  dhchap_digests: Object.keys(dhchapHash) as DhchapHashName[],
  dhchap_dhgroups: Object.keys(dhchapGroup) as DhchapGroupName[],
  num_io_queues: 1024,
  io_queue_size: 256,
  admin_queue_size: 32,
  keep_alive_timeout_ms: 10_000,
  header_digest: false,
  data_digest: false,
  disable_sq_flow_control: false,
  doorbells: 'auto',
  interrupts: true,
  connect_timeout_ms: 10_000,
  admin_timeout_ms: 120_000,
  timeout_ms: 0,
  ctrlr_loss_timeout_ms: 0,
  reconnect_delay_ms: 0,
};

const limits: Partial<Record<keyof NvmeOptions, readonly [number, number]>> = {
  psk_version: [0, 1],
  num_io_queues: [0, 65_535],
  io_queue_size: [2, 65_536],
  admin_queue_size: [32, 4096],
  keep_alive_timeout_ms: [0, 0xffff_ffff],
  connect_timeout_ms: [1, 3_600_000],
  admin_timeout_ms: [1, 3_600_000],
  timeout_ms: [0, 3_600_000],
  ctrlr_loss_timeout_ms: [-1, 2 ** 40],
  reconnect_delay_ms: [0, 3_600_000],
};

const doorbells = { auto: 0, mapped: 0, shadow: 0, trapped: 0 };

/** Fills in what was not said. Throws an Error that names the option which is wrong. */
export function nvmeOptions(given: Partial<NvmeOptions> = {}): NvmeOptions {
  const options = { ...defaultNvmeOptions, ...given };
  for (const [name, [min, max]] of Object.entries(limits)) {
    const value = options[name as keyof NvmeOptions] as number;
    if (!Number.isInteger(value) || value < min || value > max)
      throw new Error(`${name} is ${value}: it must be an integer from ${min} to ${max}`);
  }
  if (options.hostid !== '' && !/^[0-9a-f]{32}$/i.test(options.hostid))
    throw new Error(`hostid is '${options.hostid}': it must be 32 hexadecimal digits`);
  checkNames('doorbells', [options.doorbells], doorbells);
  checkNames('dhchap_digests', options.dhchap_digests, dhchapHash);
  checkNames('dhchap_dhgroups', options.dhchap_dhgroups, dhchapGroup);
  if (options.dhchap_key === '' && options.dhchap_ctrlr_key !== '')
    throw new Error(
      'dhchap_ctrlr_key needs a dhchap_key: a controller proves itself only to a host that does',
    );
  return options;
}

function checkNames(name: string, given: readonly string[], known: object): void {
  const wrong = given.find((one) => !Object.hasOwn(known, one));
  if (wrong !== undefined || given.length === 0)
    throw new Error(`${name} has '${wrong ?? ''}': give some of ${Object.keys(known).join(', ')}`);
}
