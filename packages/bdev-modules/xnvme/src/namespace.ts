import { BdevError, Errno, KV_KEY_BYTES_MAX, type KvLimits } from '@spdk-ts/bdev';
import { nvmePassthrough } from '@spdk-ts/file-io';
import type { Native } from '@spdk-ts/native';
import {
  adminOpcode,
  cns,
  csi,
  decodeNamespaceDescriptors,
  formatEui64,
  formatNguid,
  formatUuid,
  getUint64,
  IDENTIFY_SIZE,
  type IdentifyController,
  identifyController,
  identifyControllerNvm,
  identifyNamespace,
  isZeroId,
  lbaFormatIndex,
  type NamespaceDescriptors,
  oncs,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { decodeZoned, type ZonedIdentify } from './zns-identify.ts';

const { adminCommand, CDW10, CDW11 } = nvmePassthrough;

/** The page that transfer sizes are counted in: CAP.MPSMIN, which no known controller has otherwise. */
const PAGE_BYTES = 4096;
const RANGES_MAX = 256;
const RANGE_BLOCKS_MAX = 0xffff_ffff;
/** KV formats of Identify: which is in use, and where they are. */
const KVFC = 29;
const KV_FORMATS = 72;
const KV_FORMAT_BYTES = 16;
/** What space is counted in, and the most keys where the controller names no limit. */
const KV_BLOCK_BYTES = 512;
const KEYS_MAX = 0xffff_ffff;

/** A namespace as its controller describes it. Sizes in bytes or blocks, as named; Infinity for no limit. */
export interface NvmeNamespace {
  readonly nsid: number;
  /** Command set identifier. */
  readonly csi: number;
  /** UUID, NGUID or EUI64; empty if it has none. */
  readonly identity: string;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly transfer_bytes: number;
  readonly append_bytes: number;
  readonly zeroes_blocks: number;
  /** Of a deallocate: blocks of a range, and how many ranges. */
  readonly range_blocks: number;
  readonly ranges: number;
  readonly can: { readonly compare: boolean; readonly write_zeroes: boolean; readonly deallocate: boolean };
  readonly zoned: ZonedIdentify | null;
  /** Of a key-value namespace: then it has no blocks, and a block is what its size is counted in. */
  readonly kv: KvLimits | null;
}

/** Identify of one device. */
class Identifier {
  private readonly native: Native;
  private readonly fd: number;
  readonly filename: string;

  constructor(native: Native, fd: number, filename: string) {
    this.native = native;
    this.fd = fd;
    this.filename = filename;
  }

  /** A data structure; null if the controller has none of that kind. */
  try(nsid: number, which: number, set = 0): Uint8Array | null {
    const bytes = new Uint8Array(new ArrayBuffer(IDENTIFY_SIZE));
    const command = adminCommand(adminOpcode.identify, nsid, { [CDW10]: which, [CDW11]: (set << 24) >>> 0 });
    const status = this.native.nvmeAdmin(this.fd, command, bytes);
    if (status < 0)
      throw new BdevError(
        status,
        `${this.filename} cannot be identified (errno ${-status}); run as root, or look at the controller's state`,
      );
    return status === 0 ? bytes : null;
  }

  get(nsid: number, which: number, set = 0): Uint8Array {
    const bytes = this.try(nsid, which, set);
    if (bytes !== null) return bytes;
    throw new BdevError(
      Errno.EIO,
      `the controller of ${this.filename} does not answer Identify, CNS ${which}`,
    );
  }
}

function identityOf({ uuid, nguid, eui64 }: NamespaceDescriptors): string {
  if (uuid !== undefined && !isZeroId(uuid)) return formatUuid(uuid);
  if (nguid !== undefined && !isZeroId(nguid)) return formatNguid(nguid);
  return eui64 !== undefined && !isZeroId(eui64) ? formatEui64(eui64) : '';
}

/** 2^n pages, as MDTS; 0 is no limit. */
const pages = (exponent: number): number =>
  exponent === 0 ? Number.POSITIVE_INFINITY : 2 ** exponent * PAGE_BYTES;

/** What is of no account for a namespace of another kind. */
const nothing = {
  ...{ append_bytes: 0, zeroes_blocks: 0, range_blocks: 0, ranges: 0 },
  can: { compare: false, write_zeroes: false, deallocate: false },
} as const;

/** A namespace that blocks are read from and written to. */
function withBlocks(
  identify: Identifier,
  nsid: number,
  set: number,
  { mdts, oncs: can }: IdentifyController,
) {
  const namespace = identifyNamespace.decode(identify.get(nsid, cns.namespace));
  const format = lbaFormatIndex(namespace.flbas, namespace.nlbaf);
  const { lbads, ms } = namespace.lbaf[format]!;
  if (ms > 0)
    throw new BdevError(
      Errno.ENOTSUP,
      `the blocks of ${identify.filename} have ${ms} bytes of metadata, which is not supported here; format it without`,
    );
  const is_zoned = set === csi.zoned;
  const nvm = identify.try(0, cns.csiController, csi.nvm);
  const { wzsl, dmrl, dmrsl } = identifyControllerNvm.decode(nvm ?? new Uint8Array(IDENTIFY_SIZE));
  const block_size = 2 ** lbads;
  return {
    ...{ block_size, num_blocks: namespace.nsze, kv: null, transfer_bytes: pages(mdts) },
    zoned: is_zoned ? decodeZoned(identify.get(nsid, cns.csiNamespace, csi.zoned), format) : null,
    append_bytes: is_zoned ? pages(identify.get(0, cns.csiController, csi.zoned)[0]!) : 0,
    zeroes_blocks: pages(wzsl) / block_size,
    range_blocks: dmrsl || RANGE_BLOCKS_MAX,
    ranges: dmrl || RANGES_MAX,
    can: {
      compare: (can & oncs.compare) !== 0,
      write_zeroes: (can & oncs.writeZeroes) !== 0,
      deallocate: (can & oncs.datasetManagement) !== 0,
    },
  };
}

/** A namespace of keys (Key Value Command Set 1.0, 4.1.5.1, CNS 05h). A value is transferred in one command. */
function withKeys(identify: Identifier, nsid: number, { mdts }: IdentifyController) {
  const bytes = identify.get(nsid, cns.csiNamespace, csi.keyValue);
  const view = viewOf(bytes);
  const format = KV_FORMATS + (bytes[KVFC]! & 0xf) * KV_FORMAT_BYTES;
  const capacity = getUint64(view, 0);
  const transfer_bytes = pages(mdts);
  const kv: KvLimits = {
    max_key_len: Math.min(view.getUint16(format, true), KV_KEY_BYTES_MAX),
    max_value_len: view.getUint32(format + 4, true),
    max_num_keys: view.getUint32(format + 8, true) || KEYS_MAX,
    capacity,
  };
  const num_blocks = Math.floor(capacity / KV_BLOCK_BYTES);
  return { ...nothing, block_size: KV_BLOCK_BYTES, num_blocks, kv, transfer_bytes, zoned: null };
}

/** Asks a namespace's controller for it. Throws BdevError ENOTSUP for what cannot be a bdev here. */
export function readNamespace(native: Native, fd: number, nsid: number, filename: string): NvmeNamespace {
  const identify = new Identifier(native, fd, filename);
  const controller = identifyController.decode(identify.get(0, cns.controller));
  const descriptors = identify.try(nsid, cns.namespaceDescriptors);
  const ids: NamespaceDescriptors = descriptors === null ? {} : decodeNamespaceDescriptors(descriptors);
  const set = ids.csi ?? csi.nvm;
  if (!(Object.values(csi) as number[]).includes(set))
    throw new BdevError(
      Errno.ENOTSUP,
      `${filename} is of command set ${set}, which is not known here: the NVM (0), the key value (1) and the zoned (2) are`,
    );
  const known =
    set === csi.keyValue ? withKeys(identify, nsid, controller) : withBlocks(identify, nsid, set, controller);
  return { nsid, csi: set, identity: identityOf(ids), ...known };
}
