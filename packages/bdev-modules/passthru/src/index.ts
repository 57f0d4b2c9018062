import { type BdevControlPlugin, BdevError, type BdevPluginContext, Errno, uuidOf } from '@spdk-ts/bdev';
import { derivedSpec, type StackedContext, type StackedKind, StackedModule } from '@spdk-ts/vbdev';
import { methods } from './schema.ts';

const MODULE = 'passthru';

interface CreateParams {
  readonly name: string;
  readonly base_bdev_name: string;
  readonly uuid?: string;
}

const kind: StackedKind<CreateParams> = {
  module: MODULE,
  flag: 'vbdev_passthru',
  follows_size: true,
  base: ({ base_bdev_name }) => base_bdev_name,
  key: ({ name }) => name,
  specs: ({ name, uuid }, base, context) => [
    derivedSpec(base, {
      name,
      product_name: 'passthru',
      uuid: uuid ?? uuidOf(`${MODULE} ${base.uuid}`),
      context,
    }),
  ],
  calls: ({ name, base_bdev_name, uuid }, [part]) => {
    const identity = part?.uuid ?? uuid;
    return [
      {
        method: 'bdev_passthru_create',
        params: { name, base_bdev_name, ...(identity !== undefined && { uuid: identity }) },
      },
    ];
  },
  info: ({ name, context }) => ({
    passthru: { name, base_bdev_name: (context as StackedContext).base_name },
  }),
};

const plugin: BdevControlPlugin = {
  name: MODULE,
  methods,
  reactorEntry: new URL('./reactor.js', import.meta.url).href,
  setup({ bdevs, rpc }: BdevPluginContext) {
    const module = new StackedModule(bdevs, kind);
    bdevs.registerModule(module);
    rpc.register('bdev_passthru_create', async (params) => {
      await module.create(params);
      return params.name;
    });
    rpc.register('bdev_passthru_delete', async ({ name }) => {
      await module.delete(name, new BdevError(Errno.ENODEV, `no passthru bdev has the name "${name}"`));
      return true;
    });
  },
};
export default plugin;
