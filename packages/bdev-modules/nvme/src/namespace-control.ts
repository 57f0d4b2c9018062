import { BdevError, type BdevRegistry, type BdevSpec, Errno } from '@spdk-ts/bdev';
import type { CommandData, CommandFields, NamespaceInfo } from '@spdk-ts/nvme';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { BdevPathsMessage } from './context.ts';
import type { ControllerEntry } from './controller-control.ts';
import { type MultipathOptions, policyCode } from './multipath-control.ts';
import { blocksOf } from './spec.ts';

/** Whether two paths lead to the same namespace: so its identifiers say, and it looks the same. */
export function identical(a: NamespaceInfo, b: NamespaceInfo): boolean {
  return (
    a.uuid === b.uuid &&
    a.nguid === b.nguid &&
    a.eui64 === b.eui64 &&
    a.csi === b.csi &&
    a.block_size === b.block_size &&
    a.md_size === b.md_size &&
    a.md_interleave === b.md_interleave &&
    JSON.stringify([a.protection, a.zones]) === JSON.stringify([b.protection, b.zones])
  );
}

export const identityOf = ({ uuid, nguid, eui64 }: NamespaceInfo): string =>
  [uuid && `UUID ${uuid}`, nguid && `NGUID ${nguid}`, eui64 && `EUI64 ${eui64}`].filter(Boolean).join(', ') ||
  'no identifier';

/** The bdev of a namespace, and the paths to it. */
export class NamespaceBdev {
  readonly number: number;
  readonly nsid: number;
  readonly name: string;
  /** As the first path tells of it. */
  readonly namespace: NamespaceInfo;
  multipath: MultipathOptions;
  /** The path that its I/O is to take, or null: the first one. */
  preferred: ControllerEntry | null = null;
  private preference = 0;
  /** It goes because its namespace has gone. */
  removing = false;
  /** Those that it has now, in the order of their use. */
  paths: readonly ControllerEntry[] = [];
  private readonly host: ReactorHost;
  private readonly bdevs: BdevRegistry;
  private readonly gone: Promise<void>;
  /** To be called when the registry has let go of it. */
  destroyed!: () => void;
  private resetting: Promise<void> | null = null;
  /** What was told last. */
  private told = '';

  constructor(
    host: ReactorHost,
    bdevs: BdevRegistry,
    which: {
      number: number;
      nsid: number;
      name: string;
      namespace: NamespaceInfo;
      multipath: MultipathOptions;
    },
  ) {
    this.host = host;
    this.bdevs = bdevs;
    this.number = which.number;
    this.nsid = which.nsid;
    this.name = which.name;
    this.namespace = which.namespace;
    this.multipath = which.multipath;
    this.gone = new Promise((resolve) => {
      this.destroyed = resolve;
    });
  }

  /** True if a controller has this very namespace. */
  isOn(entry: ControllerEntry): boolean {
    const theirs = entry.namespaces.get(this.nsid);
    return theirs !== undefined && identical(theirs, this.namespace);
  }

  /** Tells every reactor of the paths. `anew`: although they may be as they were. */
  async setPaths(entries: readonly ControllerEntry[], failback: boolean, anew = false): Promise<void> {
    if (this.preferred !== null && !entries.includes(this.preferred)) this.preferred = null;
    const { preferred, nsid } = this;
    this.paths = preferred === null ? entries : [preferred, ...entries.filter((one) => one !== preferred)];
    const message: BdevPathsMessage = {
      ...{ bdev: this.number, policy: policyCode(this.multipath), min_io: this.multipath.min_io, failback },
      preference: this.preference,
      paths: this.paths.map((entry) => ({ controller: entry.id, access: entry.accessOf(nsid) })),
    };
    const text = JSON.stringify(message);
    if (text === this.told && !anew) return;
    this.told = text;
    await this.host.broadcast('bdev_nvme', 'paths', message);
  }

  prefer(entry: ControllerEntry): void {
    this.preferred = entry;
    this.preference++;
  }

  async register(module: string, spec: BdevSpec): Promise<void> {
    await this.bdevs.register(module, spec);
  }

  /** Blocks that all paths know of. */
  private get num_blocks(): number {
    const sizes = this.paths.map(({ namespaces }) => {
      const namespace = namespaces.get(this.nsid);
      return namespace === undefined ? 0 : blocksOf(namespace);
    });
    return Math.min(...sizes.filter((size) => size > 0));
  }

  /** Follows the namespace's size. */
  async resize(): Promise<void> {
    const { num_blocks, name } = this;
    const before = this.bdevs.get(name);
    if (before === undefined || !Number.isFinite(num_blocks) || before.num_blocks === num_blocks) return;
    if (before.zoned)
      throw new BdevError(
        Errno.ENOTSUP,
        `bdev ${name} stays at ${before.num_blocks} blocks, its namespace has ${num_blocks}: zones are counted once, when it is attached`,
      );
    await this.bdevs.resize(name, num_blocks);
  }

  /** Takes the bdev away, unless somebody does already. */
  async remove(module: string): Promise<void> {
    this.removing = true;
    try {
      await this.bdevs.unregister(this.name, module);
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code === Errno.EBUSY) await this.gone;
      else if (code !== Errno.ENODEV) throw error;
    }
  }

  async forget(): Promise<void> {
    await this.host.broadcast('bdev_nvme', 'forgetBdev', { bdev: this.number });
  }

  /** Sends an Admin command to the first controller that is connected. Rejects with BdevError EIO if none is. */
  async admin(command: { readonly fields: CommandFields; readonly data: CommandData }): Promise<unknown> {
    const entry = this.paths.find(({ connected }) => connected);
    if (entry === undefined)
      throw new BdevError(Errno.EIO, `bdev ${this.name}: none of its controllers is connected`);
    return await entry.ask('send', { io: false, ...command });
  }

  /** Resets the controllers of all paths: enough if one is connected to afterwards. Resets that overlap are one. */
  reset(): Promise<void> {
    this.resetting ??= this.resetAll().finally(() => {
      this.resetting = null;
    });
    return this.resetting;
  }

  private async resetAll(): Promise<void> {
    const ends = await Promise.allSettled(this.paths.map((entry) => entry.reset(false)));
    const failed = ends.filter((end) => end.status === 'rejected');
    if (failed.length === ends.length) throw failed[0]?.reason ?? new Error(`bdev ${this.name} has no path`);
  }
}
