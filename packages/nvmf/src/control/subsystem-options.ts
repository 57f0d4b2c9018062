import { nqnProblem } from '@spdk-ts/nvme-spec';
import { invalidParams, RpcError, rpcCode } from '@spdk-ts/rpc';
import type { SubsystemOptions } from './subsystem.ts';

const CNTLID_MIN = 1;
const CNTLID_MAX = 0xffef;
const SERIAL_LENGTH = 20;
const MODEL_LENGTH = 40;
const LABEL_LENGTH = { min: 4, max: 256 };
const DEFAULT_NAMESPACES = 32;
const MAX_NAMESPACES = 65_536;
const DEFAULT_MODEL = 'spdk-ts bdev Controller';

/** Parameters of nvmf_create_subsystem. */
export interface SubsystemParams {
  readonly nqn: string;
  readonly serial_number?: string;
  readonly model_number?: string;
  readonly admin_label?: string;
  readonly max_namespaces?: number;
  readonly allow_any_host?: boolean;
  readonly ana_reporting?: boolean;
  readonly min_cntlid?: number;
  readonly max_cntlid?: number;
  readonly dmrsl?: number;
  readonly wzsl?: number;
  readonly passthrough?: boolean;
  readonly enable_nssr?: boolean;
  readonly static_controllers?: boolean;
}

export const discoveryOptions: SubsystemOptions = {
  serial_number: '0'.repeat(SERIAL_LENGTH),
  model_number: DEFAULT_MODEL,
  admin_label: undefined,
  max_namespaces: 0,
  ana_reporting: false,
  min_cntlid: CNTLID_MIN,
  max_cntlid: CNTLID_MAX,
  dmrsl: 0,
  wzsl: 0,
  passthrough: false,
  enable_nssr: false,
  static_controllers: false,
};

const printable = (text: string, length: number): boolean =>
  text.length <= length && /^[\x20-\x7e]*$/.test(text);

/** Checks the parameters of a new subsystem. Throws an RPC error that names the parameter, with SPDK's codes. */
export function subsystemOptions(
  params: SubsystemParams,
  existing: ReadonlyMap<string, unknown>,
  max_subsystems: number,
): SubsystemOptions {
  const { nqn, min_cntlid = CNTLID_MIN, max_cntlid = CNTLID_MAX, admin_label } = params;
  const impossible = (why: string): never => {
    throw new RpcError(rpcCode.internalError, `Unable to create subsystem ${nqn}: ${why}`, {
      parameter: 'nqn',
    });
  };
  const problem = nqnProblem(nqn);
  if (problem !== null) impossible(`the NQN is malformed: ${problem}`);
  if (existing.has(nqn)) impossible('it exists already');
  // The discovery subsystem is not counted.
  if (existing.size > max_subsystems)
    impossible(`there are ${max_subsystems} subsystems; raise the limit with nvmf_set_max_subsystems`);
  const { serial_number = '0'.repeat(SERIAL_LENGTH), model_number = DEFAULT_MODEL } = params;
  const { max_namespaces = DEFAULT_NAMESPACES } = params;
  if (!printable(serial_number, SERIAL_LENGTH))
    throw invalidParams(
      `serial_number is "${serial_number}": give at most 20 printable ASCII characters`,
      'serial_number',
    );
  if (!printable(model_number, MODEL_LENGTH))
    throw invalidParams(
      `model_number is "${model_number}": give at most 40 printable ASCII characters`,
      'model_number',
    );
  if (max_namespaces > MAX_NAMESPACES)
    throw invalidParams(
      `max_namespaces is ${max_namespaces}: give at most ${MAX_NAMESPACES}`,
      'max_namespaces',
    );
  if (params.passthrough === true)
    throw invalidParams(
      'passthrough is true: this target tells of namespaces what it has found out, and hands no Identify on; commands that it does not know go to NVMe bdevs without it',
      'passthrough',
    );
  const { length = LABEL_LENGTH.min } = admin_label ?? {};
  if (
    length < LABEL_LENGTH.min ||
    length > LABEL_LENGTH.max ||
    !printable(admin_label ?? '', LABEL_LENGTH.max)
  )
    throw new RpcError(
      rpcCode.invalidParams,
      `Invalid admin_label "${admin_label}": give 4 to 256 printable ASCII characters`,
      { parameter: 'admin_label' },
    );
  if (min_cntlid < CNTLID_MIN || max_cntlid > CNTLID_MAX || min_cntlid > max_cntlid)
    throw new RpcError(
      rpcCode.invalidParams,
      `Invalid cntlid range [${min_cntlid}-${max_cntlid}]: give min_cntlid and max_cntlid in order, within 1 to 65519`,
      { parameter: 'min_cntlid' },
    );
  return {
    ...{ serial_number, model_number, admin_label, min_cntlid, max_cntlid },
    max_namespaces: max_namespaces === 0 ? DEFAULT_NAMESPACES : max_namespaces,
    ana_reporting: params.ana_reporting ?? false,
    dmrsl: params.dmrsl ?? 0,
    wzsl: params.wzsl ?? 0,
    passthrough: params.passthrough ?? false,
    enable_nssr: params.enable_nssr ?? false,
    static_controllers: params.static_controllers ?? false,
  };
}

/** Throws an RPC error -32602 if a host's NQN is malformed. */
export function checkHostNqn(host: string): void {
  const problem = nqnProblem(host);
  if (problem !== null) throw invalidParams(`host is "${host}": the NQN is malformed: ${problem}`, 'host');
}
