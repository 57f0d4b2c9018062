import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BdevError, Errno } from '@spdk-ts/bdev';
import { native } from '@spdk-ts/native';
import { address, eventually, freePort, type Json, RpcError, Target } from '../linux-guest/target.ts';
import type { BdevCall, Bench } from './bench.ts';
import { kindOf, type Subject } from './subject.ts';

/** A namespace that an nvme bdev is tested with: the bdev that the target makes it of, and how it is attached. */
interface Exported {
  readonly name: string;
  readonly method?: string;
  readonly params: Record<string, unknown>;
  readonly attach?: Record<string, unknown>;
  readonly resizes?: boolean;
  /** Also over vfio-user: as a PCI function, whose queues and data are in memory that both map. */
  readonly pci?: boolean;
  /** What is read beside a write under way may have bytes of both within a block. */
  readonly mixes?: boolean;
}

const HOUR_US = 3600e6;
/** Time of the bench goes faster than that of the target: nothing is ever late. */
const PATIENT: BdevCall = {
  method: 'bdev_nvme_set_options',
  params: { keep_alive_timeout_ms: 0, timeout_admin_us: HOUR_US },
};
const MIB = 1024 * 1024;

/** Data digests: the target then neither sends from the bdev's memory nor receives into it. */
const digests = { hdgst: true, ddgst: true };
const checked = { ...digests, prchk_reftag: true, prchk_guard: true };
const plain = { block_size: 512, num_blocks: 6001 };

/**
 * Malloc lends hosts its memory, to be read and written in place: what is read beside a write under way is a mixture at times.
 * With data digests it must not be: one reactor does one I/O after the other.
 */
const namespaces: readonly Exported[] = [
  { name: 'Plain', params: plain, resizes: true, mixes: true, pci: true },
  {
    ...{ name: 'Digests', params: { block_size: 4096, num_blocks: 750, optimal_io_boundary: 24 } },
    attach: digests,
  },
  { name: 'Metadata', params: { ...plain, md_size: 8, md_interleave: true }, attach: digests },
  { name: 'Type1', params: { ...plain, md_size: 8, md_interleave: true, dif_type: 1 }, attach: checked },
  {
    name: 'Type2',
    params: {
      ...{ block_size: 4096, num_blocks: 700, md_size: 16, md_interleave: true, dif_type: 2 },
      ...{ dif_pi_format: 2, dif_is_head_of_md: true },
    },
    attach: checked,
  },
  {
    name: 'Zoned',
    params: { block_size: 512, num_blocks: 256, zone_size: 32, zone_capacity: 24, max_open_zones: 6 },
    pci: true,
  },
  {
    ...{ name: 'Keys', method: 'bdev_malloc_kv_create' },
    params: { block_size: 512, num_blocks: 4096, max_value_len: 65_536, max_key_len: 16 },
    pci: true,
  },
];

const nqnOf = (name: string): string => `nqn.2026-11.io.spdk-ts:${name.toLowerCase()}`;

/** A target of ours, in a process of its own, each of whose subsystems has one namespace. */
export class NvmeTargetOfTests {
  private readonly target: Target;
  private readonly port: number;
  private readonly made = new Set<string>();

  static async start(): Promise<NvmeTargetOfTests> {
    const target = await Target.start({ args: ['-m', '0x1'] });
    await target.createTransport();
    if (native !== null) await target.rpc('nvmf_create_transport', { trtype: 'VFIOUSER' });
    return new NvmeTargetOfTests(target, await freePort());
  }

  private constructor(target: Target, port: number) {
    this.target = target;
    this.port = port;
  }

  async stop(): Promise<void> {
    await this.target.stop();
    await this.target.dispose();
  }

  /** The bdevs to test: attached over rings, if there are any, the first of them also without. */
  subjects(rings: boolean): Subject[] {
    const all = namespaces.map((exported) => this.subject(exported, rings));
    if (native !== null)
      for (const exported of namespaces)
        if (exported.pci === true) all.push(this.subject(exported, rings, true));
    return rings ? [this.subject(namespaces[0]!, false), ...all] : all;
  }

  /** Where a namespace's PCI function is. */
  private folder(name: string): string {
    return join(this.target.folder, name);
  }

  private subject(exported: Exported, uring: boolean, isPci = false): Subject {
    const { name, method = 'bdev_malloc_create', params, attach = {}, resizes, mixes = false } = exported;
    const at: Json = isPci
      ? { trtype: 'VFIOUSER', traddr: this.folder(name) }
      : { trtype: 'TCP', traddr: address, trsvcid: String(this.port) };
    const where = { ...at, subnqn: nqnOf(name) };
    const controller = `Nvme${name}`;
    return {
      title: `nvme${isPci ? ' over vfio-user' : ''}, ${JSON.stringify({ ...params, ...attach })}, ${uring ? 'with' : 'without'} rings`,
      kind: kindOf([{ method, params }]),
      calls: [
        PATIENT,
        {
          method: 'bdev_nvme_attach_controller',
          params: { name: controller, ...where, ...attach, fabrics_connect_timeout_us: HOUR_US },
        },
      ],
      bdev: `${controller}n1`,
      promises: { data: true, unmapped: 'zeroes', mixes, fills_buffers: true },
      uring,
      keeps_on_reactors: true,
      prepare: (bench) => bench.settled('a new namespace', this.renew(exported)),
      resize: resizes === true ? (bench, bdev, bytes) => this.resize(bench, name, bdev, bytes) : undefined,
    };
  }

  /** Makes the namespace anew: nothing of what was written to it is left. */
  private async renew({ name, method = 'bdev_malloc_create', params }: Exported): Promise<void> {
    const { target } = this;
    const nqn = nqnOf(name);
    if (this.made.has(name)) {
      await target.rpc('nvmf_subsystem_remove_ns', { nqn, nsid: 1 });
      await target.rpc(method.replace('_kv_', '_').replace('_create', '_delete'), { name });
    }
    await target.rpc(method, { name, ...params });
    if (this.made.has(name))
      await target.rpc('nvmf_subsystem_add_ns', { nqn, namespace: { bdev_name: name, nsid: 1 } });
    else {
      await target.export(nqn, [name], this.port);
      if (native !== null) await this.listenOverVfioUser(nqn, this.folder(name));
    }
    this.made.add(name);
  }

  private async listenOverVfioUser(nqn: string, traddr: string): Promise<void> {
    mkdirSync(traddr);
    await this.target.rpc('nvmf_subsystem_add_listener', {
      nqn,
      listen_address: { trtype: 'VFIOUSER', traddr },
    });
  }

  private async resize(bench: Bench, name: string, bdev: string, bytes: number): Promise<void> {
    const size = (): number => {
      const { num_blocks, block_size } = bench.bdevs.get(bdev)!;
      return num_blocks * block_size;
    };
    try {
      await this.target.rpc('bdev_malloc_resize', { name, new_size: bytes / MIB });
    } catch (error) {
      // The subsystem has it open, always.
      if (error instanceof RpcError && error.code === Errno.EBUSY)
        throw new BdevError(Errno.EINVAL, error.message);
      throw error;
    }
    await eventually(20, 'the bdev has grown', () => size() === bytes);
  }
}
