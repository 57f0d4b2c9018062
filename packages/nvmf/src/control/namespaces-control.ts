import {
  type BdevDescription,
  type BdevDescriptor,
  BdevError,
  type BdevEvent,
  type BdevRegistry,
} from '@spdk-ts/bdev';
import { isZeroId, parseEui64, parseNguid } from '@spdk-ts/nvme-spec';
import { invalidParams } from '@spdk-ts/rpc';
import { NamespaceReservations, REGISTRANTS_DEFAULT, REGISTRANTS_MAX } from './reservations-control.ts';
import type { NamespaceRecord, Subsystem } from './subsystem.ts';

/** The module name under which the target claims bdevs: SPDK's. */
const CLAIMER = 'NVMe-oF Target';

export interface NamespaceParams {
  readonly nsid?: number;
  readonly bdev_name: string;
  readonly nguid?: string;
  readonly eui64?: string;
  readonly uuid?: string;
  readonly ptpl_file?: string;
  readonly anagrpid?: number;
  readonly no_auto_visible?: boolean;
  readonly hide_metadata?: boolean;
  readonly max_registrants?: number;
}

function refuse(field: string, text: string): never {
  throw invalidParams(`namespace.${field} ${text}`, `namespace.${field}`);
}

/** Hexadecimal digits in the form in which they are kept. */
function identifier(
  field: string,
  text: string | undefined,
  parse: (text: string) => Uint8Array | null,
): string {
  if (text === undefined) return '';
  const bytes = parse(text.replaceAll('-', ''));
  if (bytes === null) refuse(field, `is "${text}": give ${field === 'nguid' ? 32 : 16} hexadecimal digits`);
  return isZeroId(bytes) ? '' : Buffer.from(bytes).toString('hex').toUpperCase();
}

/**
 * Opens and claims the bdev of a new namespace. `onEvent` is told what becomes of it. Throws an RPC error -32602
 * that names the parameter.
 */
export function openNamespace(
  bdevs: BdevRegistry,
  subsystem: Subsystem,
  params: NamespaceParams,
  onEvent: (nsid: number, event: BdevEvent) => void,
): NamespaceRecord {
  const { max_namespaces } = subsystem.options;
  const nsid = params.nsid === undefined || params.nsid === 0 ? subsystem.freeNsid() : params.nsid;
  if (nsid === 0)
    refuse('nsid', `cannot be chosen: all ${max_namespaces} of subsystem ${subsystem.nqn} are in use`);
  if (nsid > max_namespaces)
    refuse('nsid', `is ${nsid}: subsystem ${subsystem.nqn} has at most ${max_namespaces}`);
  if (subsystem.namespaces.has(nsid)) refuse('nsid', `${nsid} is in use in subsystem ${subsystem.nqn}`);
  const anagrpid = params.anagrpid ?? nsid;
  if (anagrpid < 1 || anagrpid > max_namespaces)
    refuse('anagrpid', `is ${anagrpid}: give 1 to ${max_namespaces}`);
  const { max_registrants = REGISTRANTS_DEFAULT, ptpl_file } = params;
  if (max_registrants < 1 || max_registrants > REGISTRANTS_MAX)
    refuse('max_registrants', `is ${max_registrants}: give 1 to ${REGISTRANTS_MAX}`);
  if (ptpl_file === '') refuse('ptpl_file', 'is empty: give a path, or leave it out');
  const eui64 = identifier('eui64', params.eui64, parseEui64);
  const nguid = identifier('nguid', params.nguid, parseNguid);
  const hide_metadata = params.hide_metadata ?? false;
  const descriptor = openBdev(bdevs, params.bdev_name, hide_metadata, (event) => onEvent(nsid, event));
  const { description } = descriptor;
  const trouble = unfit(description);
  if (trouble !== null) {
    void descriptor.close();
    refuse('bdev_name', `${params.bdev_name} ${trouble}`);
  }
  const uuid = params.uuid ?? description.uuid;
  return {
    ...{ nsid, descriptor, uuid, eui64, anagrpid },
    // SPDK's default: the bdev's UUID serves as NGUID.
    nguid:
      nguid === '' && params.nguid === undefined ? description.uuid.replaceAll('-', '').toUpperCase() : nguid,
    no_auto_visible: params.no_auto_visible ?? false,
    hosts: new Set(),
    reservations: new NamespaceReservations(description.uuid, ptpl_file, max_registrants),
  };
}

/** Why hosts over fabrics cannot use a bdev, or null. */
function unfit({ md_size, md_interleave, zoned }: BdevDescription): string | null {
  if (md_size > 0 && !md_interleave)
    return (
      `has metadata of ${md_size} bytes apart from each block, and over fabrics they are part of it; create the bdev with ` +
      'md_interleave, or set hide_metadata'
    );
  return md_size > 0 && zoned
    ? `has zones, and metadata of ${md_size} bytes a block, which are not served together; set hide_metadata`
    : null;
}

function openBdev(
  bdevs: BdevRegistry,
  name: string,
  hide_metadata: boolean,
  onEvent: (event: BdevEvent) => void,
): BdevDescriptor {
  try {
    const descriptor = bdevs.open(name, { write: true, hide_metadata, owner: { name: CLAIMER, onEvent } });
    try {
      descriptor.claim('exclusive_write', { module: CLAIMER });
    } catch (error) {
      void descriptor.close();
      throw error;
    }
    return descriptor;
  } catch (error) {
    if (!(error instanceof BdevError)) throw error;
    return refuse('bdev_name', `${name} cannot be opened: ${error.message}`);
  }
}

/** A namespace as nvmf_get_subsystems shows it. */
export function namespaceInfo(record: NamespaceRecord, ana: boolean) {
  const { nsid, descriptor, nguid, eui64, uuid, anagrpid } = record;
  const { name } = descriptor.description;
  return {
    ...{ nsid, bdev_name: name, name },
    ...(nguid !== '' && { nguid }),
    ...(eui64 !== '' && { eui64 }),
    uuid,
    ...(ana && { anagrpid }),
  };
}

/** The `namespace` parameter that makes it again. */
export function namespaceConfig(record: NamespaceRecord, ana: boolean): Record<string, unknown> {
  const { name: _, ...shown } = namespaceInfo(record, ana);
  const { no_auto_visible, descriptor } = record;
  const { file: ptpl_file, max_registrants } = record.reservations;
  return {
    ...shown,
    ...(ptpl_file !== undefined && { ptpl_file }),
    ...(max_registrants !== REGISTRANTS_DEFAULT && { max_registrants }),
    no_auto_visible,
    ...(descriptor.description.hides_metadata && { hide_metadata: true }),
  };
}
