import type { BdevControlPlugin, BdevPluginContext, RpcRegistrar } from '@spdk-ts/bdev';
import type { CallContext } from '@spdk-ts/rpc';
import type { Method, MethodName } from '@spdk-ts/rpc-schema';

type Handler = (params: never, context: CallContext) => unknown;

/** Loads a module's control half when a method is called that needs it, and its reactor half on every reactor. */
class Loading {
  private readonly handlers = new Map<string, Handler>();
  private readonly load: () => Promise<BdevControlPlugin>;
  private readonly context: BdevPluginContext;
  private loaded: Promise<void> | null = null;

  constructor(load: () => Promise<BdevControlPlugin>, context: BdevPluginContext) {
    this.load = load;
    this.context = context;
  }

  /** Answers a call of one of its methods. */
  async call(method: string, params: unknown, context: CallContext): Promise<unknown> {
    this.loaded ??= this.setUp();
    await this.loaded;
    return await this.handlers.get(method)!(params as never, context);
  }

  private async setUp(): Promise<void> {
    const plugin = await this.load();
    await this.context.host.load(plugin.reactorEntry);
    const register = (name: string, handler: Handler): void => void this.handlers.set(name, handler);
    await plugin.setup({ ...this.context, rpc: { register } as RpcRegistrar });
  }
}

/**
 * A module that stands for another until one of its methods is called: most targets use few of the modules that there
 * are. Only one that makes no bdevs by itself, and has nothing to say of this machine, can be late.
 */
export function lateModule(
  name: string,
  methods: readonly Method[],
  load: () => Promise<BdevControlPlugin>,
): Omit<BdevControlPlugin, 'reactorEntry'> {
  return {
    name,
    methods,
    setup(context) {
      const loading = new Loading(load, context);
      for (const method of methods)
        context.rpc.register(
          method.name as MethodName,
          ((params: unknown, call: CallContext) => loading.call(method.name, params, call)) as never,
        );
    },
  };
}
