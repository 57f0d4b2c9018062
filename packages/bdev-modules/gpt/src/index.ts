import type {
  BdevControlPlugin,
  BdevDescription,
  BdevModule,
  BdevPluginContext,
  BdevRegistry,
  BdevSpec,
  ModuleCall,
} from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import { derivedSpec, Stack, type StackedContext } from '@spdk-ts/vbdev';
import { type GptTable, readTable } from './read-table.ts';
import { methods } from './schema.ts';
import type { GptPartition } from './table.ts';

const MODULE = 'gpt';
/** The type GUIDs that SPDK has for itself. */
const SPDK_TYPE = '6527994e-2c5a-4eec-9613-8f5944074e8b';
/** Partitions of this one always had a block less than their entry says; users' layouts depend on it. */
const SPDK_LEGACY_TYPE = '7c5222bd-8f5d-4087-9c00-bf9843c7b58c';

interface GptContext extends StackedContext {
  readonly partition_table_guid: string;
  readonly partition_type_guid: string;
  readonly unique_partition_guid: string;
  readonly partition_name: string;
}

class GptModule implements BdevModule {
  readonly name = MODULE;
  private readonly bdevs: BdevRegistry;
  private readonly log = new Logger('vbdev_gpt');
  private readonly stacks = new Map<number, Stack>();
  private all_types = false;

  constructor(bdevs: BdevRegistry) {
    this.bdevs = bdevs;
  }

  setOptions({ all_types }: { all_types: boolean }): void {
    this.all_types = all_types;
  }

  options(): ModuleCall[] {
    const { all_types } = this;
    return all_types ? [{ method: 'bdev_gpt_set_options', params: { all_types } }] : [];
  }

  /** Examination finds the partitions again. */
  config(): ModuleCall[] {
    return [];
  }

  async examineDisk(description: BdevDescription): Promise<void> {
    const { name } = description;
    const table = await this.read(description);
    if (table === null) return;
    if (!table.partitions.some((partition) => this.exposed(partition))) {
      this.log.debug(`bdev ${name}: no partition has a type that becomes a bdev`);
      return;
    }
    const stack = new Stack(this.bdevs, MODULE, 'vbdev_gpt', name);
    stack.open();
    this.stacks.set(stack.number, stack);
    stack.onResize = (base) => this.resized(stack, base);
    await stack.build(
      (base, context) => this.specs(table, base, context),
      (part, error) => this.log.error(`partition ${part} was not made: ${error.message}`),
    );
    if (!stack.standing) this.stacks.delete(stack.number);
  }

  private async read({
    name,
    block_size,
    num_blocks,
    md_interleave,
  }: BdevDescription): Promise<GptTable | null> {
    // Metadata in between would have to be taken out first.
    if (md_interleave) return null;
    const read = (at: number, count: number): Promise<Uint8Array> => this.bdevs.readBlocks(name, at, count);
    return await readTable({ name, block_size, num_blocks, read }, this.log);
  }

  private exposed({ type_guid }: GptPartition): boolean {
    return this.all_types || type_guid === SPDK_TYPE || type_guid === SPDK_LEGACY_TYPE;
  }

  private specs(table: GptTable, base: BdevDescription, common: StackedContext): BdevSpec[] {
    return table.partitions.flatMap((partition) => {
      const { first_lba, last_lba, type_guid, unique_guid } = partition;
      const num_blocks = last_lba - first_lba + (type_guid === SPDK_LEGACY_TYPE ? 0 : 1);
      if (!this.exposed(partition) || num_blocks === 0) return [];
      const context: GptContext = {
        ...common,
        offset_blocks: first_lba,
        partition_table_guid: table.disk_guid,
        partition_type_guid: type_guid,
        unique_partition_guid: unique_guid,
        partition_name: partition.name,
      };
      const name = `${base.name}p${partition.number}`;
      return [derivedSpec(base, { name, product_name: 'GPT Disk', uuid: unique_guid, num_blocks, context })];
    });
  }

  /** The base has changed its size: the table may have changed with it. */
  private async resized(stack: Stack, base: BdevDescription): Promise<void> {
    const table = await this.read(base);
    if (table === null) return;
    const left = new Set(stack.names);
    for (const spec of this.specs(table, base, stack.context(base))) {
      const now = this.bdevs.get(spec.name);
      if (!left.delete(spec.name)) await stack.add(spec);
      else if (now !== undefined && !samePlace(now, spec))
        this.log.warn(
          `bdev ${spec.name}: its partition is another one now; delete bdev ${base.name} and add it again`,
        );
      else if (now !== undefined && now.num_blocks !== spec.num_blocks)
        await this.bdevs.resize(spec.name, spec.num_blocks);
    }
    for (const name of left)
      this.log.warn(
        `bdev ${name}: its partition is gone from the table of bdev ${base.name}; it stays until that goes`,
      );
  }

  destroy({ name, context }: BdevDescription): void {
    const { stack: number } = context as GptContext;
    const stack = this.stacks.get(number)!;
    stack.gone(name);
    if (!stack.standing) this.stacks.delete(number);
  }

  info({ context }: BdevDescription): Record<string, unknown> {
    const gpt = context as GptContext;
    return {
      gpt: {
        base_bdev: gpt.base_name,
        offset_blocks: gpt.offset_blocks,
        partition_table_guid: gpt.partition_table_guid,
        partition_type_guid: gpt.partition_type_guid,
        unique_partition_guid: gpt.unique_partition_guid,
        partition_name: gpt.partition_name,
      },
    };
  }
}

function samePlace({ context }: BdevDescription, spec: BdevSpec): boolean {
  const before = context as GptContext;
  const after = spec.context as GptContext;
  return (
    before.offset_blocks === after.offset_blocks &&
    before.unique_partition_guid === after.unique_partition_guid
  );
}

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    const module = new GptModule(bdevs);
    bdevs.registerModule(module);
    rpc.register('bdev_gpt_set_options', (options) => {
      module.setOptions(options);
      return true;
    });
  },
};
export default plugin;
