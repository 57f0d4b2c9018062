import { BdevRegistry } from '@spdk-ts/bdev';
import { Keyring, registerKeyringRpcs } from '@spdk-ts/keyring';
import { Logger } from '@spdk-ts/log';
import { WorkerHost } from '@spdk-ts/reactor';
import { type HeldLock, RpcServer } from '@spdk-ts/rpc';
import { sockReactorEntry } from '@spdk-ts/sock';
import { cpuCount, describeCapabilities } from './capabilities.ts';
import { loadConfigFile } from './config-file.ts';
import { Notifications } from './notifications.ts';
import type { AppOptions } from './options.ts';
import { writePidFile } from './pid-file.ts';
import type { AppPlugin, Subsystem } from './plugin.ts';
import { registerCoreRpcs } from './rpc/core-rpc.ts';
import { registerFrameworkRpcs } from './rpc/framework-rpc.ts';
import { registerLogRpcs } from './rpc/log-rpc.ts';
import { registerMemoryRpcs } from './rpc/memory-rpc.ts';
import { registerSockRpcs } from './rpc/sock-rpc.ts';
import { registerThreadRpcs } from './rpc/thread-rpc.ts';
import { listenForRpc, lockRpcSocket, type RpcListeners } from './rpc-listeners.ts';
import { version } from './version.ts';

/**
 * A storage application: reactors, RPC server and subsystems, from start to a clean end. It does nothing at
 * import; a process may have several (tests do).
 */
export class Application {
  readonly options: AppOptions;
  readonly host: WorkerHost;
  readonly plugins: readonly AppPlugin[];
  readonly rpc: RpcServer;
  readonly bdevs: BdevRegistry;
  readonly keyring = new Keyring();
  readonly notifications = new Notifications();
  readonly log = new Logger('app');
  /** In order of dependency: what a subsystem depends on stands before it. */
  readonly subsystems: Subsystem[] = [];
  /** Resolves when every subsystem is initialized. */
  readonly initialized: Promise<void>;
  private markInitialized = (): void => {};
  private initializing: Promise<void> | null = null;
  private listeners: RpcListeners | null = null;
  private readonly lock: HeldLock | null;
  private removePidFile: () => void = () => {};
  private stopping: Promise<void> | null = null;

  /**
   * Starts reactors and plugins, opens the RPC socket, loads the configuration and initializes the subsystems
   * (unless told to wait for framework_start_init). Rejects with an Error that says what is wrong; everything
   * that was started is stopped again.
   */
  static async start(options: AppOptions, plugins: readonly AppPlugin[]): Promise<Application> {
    const log = new Logger('app');
    log.notice(`${options.name} v${version} (Node.js ${process.versions.node}, pid ${process.pid})`);
    const lock = lockRpcSocket(options);
    const host = await WorkerHost.start({
      cores: options.cores,
      mode: options.mode,
      uring: options.uring,
      seed: options.seed,
      shareableBuffers: options.shareableBuffers,
      plugins: [sockReactorEntry, ...plugins.flatMap((plugin) => plugin.reactorEntries)],
    });
    const app = new Application(options, plugins, host, lock);
    try {
      await app.bringUp();
    } catch (error) {
      await app.stop();
      throw error;
    }
    return app;
  }

  private constructor(
    options: AppOptions,
    plugins: readonly AppPlugin[],
    host: WorkerHost,
    lock: HeldLock | null,
  ) {
    this.options = options;
    this.plugins = plugins;
    this.lock = lock;
    this.host = host;
    this.rpc = new RpcServer({
      state: 'startup',
      log: new Logger('rpc'),
      ...(options.rpcsAllowed.length > 0 && { allowed: options.rpcsAllowed }),
    });
    this.bdevs = new BdevRegistry(host);
    this.initialized = new Promise((resolve) => {
      this.markInitialized = resolve;
    });
  }

  private async bringUp(): Promise<void> {
    const { options, log, host } = this;
    if (options.pidFile !== null) this.removePidFile = writePidFile(options.pidFile);
    const cores = host.reactors.map(({ lcore }) => lcore).join(',');
    log.notice(`${host.reactors.length} reactor(s) on core(s) ${cores}, ${options.mode} mode`);
    if (host.reactors.length > cpuCount())
      log.notice(
        `there are more reactors (${host.reactors.length}) than CPUs (${cpuCount()}): they share them`,
      );
    for (const line of await describeCapabilities(this)) log.notice(line);
    for (const line of options.explained) log.notice(line);

    this.notifications.onNotification = ({ type, ctx, id }) => this.rpc.broadcast(type, ctx, id);
    this.subsystems.push(
      { name: 'scheduler', depends_on: [], config: () => this.schedulerConfig() },
      registerMemoryRpcs(this),
      await registerSockRpcs(this),
      { name: 'keyring', depends_on: [], config: () => this.keyring.config() },
    );
    registerKeyringRpcs(this.rpc, this.keyring);
    registerCoreRpcs(this);
    registerFrameworkRpcs(this);
    registerThreadRpcs(this);
    registerLogRpcs(this);
    for (const plugin of this.plugins) await plugin.setup(this);

    // Clients find a target that is configured, unless they are to configure it themselves.
    if (options.waitForRpc) await this.listen();
    if (options.configFile !== null) await loadConfigFile(this, options.configFile);
    if (options.waitForRpc) {
      if (this.initializing === null) log.notice('waiting for framework_start_init (--wait-for-rpc)');
      return;
    }
    await this.init();
    await this.listen();
  }

  private async listen(): Promise<void> {
    this.listeners = await listenForRpc(this.rpc, this.options, this.lock);
    for (const line of this.listeners.describe) this.log.notice(line);
  }

  private async schedulerConfig(): Promise<{ method: string; params: Record<string, unknown> }[]> {
    const { scheduler_period } = await this.rpc.call('framework_get_scheduler');
    return [{ method: 'framework_set_scheduler', params: { name: 'static', period: scheduler_period } }];
  }

  /** Initializes the subsystems, once. Afterwards the runtime methods may be called. */
  init(): Promise<void> {
    this.initializing ??= (async () => {
      for (const subsystem of this.subsystems) await subsystem.init?.();
      this.rpc.setState('runtime');
      this.markInitialized();
    })();
    return this.initializing;
  }

  /** Ends everything: new calls first, then the subsystems, then the reactors. Work in flight completes. */
  stop(): Promise<void> {
    this.stopping ??= (async () => {
      if (this.listeners !== null) await this.listeners.close();
      else this.lock?.release();
      for (const subsystem of this.subsystems) subsystem.ending?.();
      for (const subsystem of [...this.subsystems].reverse()) {
        try {
          await subsystem.stop?.();
        } catch (error) {
          this.log.error(`subsystem ${subsystem.name} did not stop cleanly: ${(error as Error).message}`);
        }
      }
      await this.host.stop();
      this.removePidFile();
    })();
    return this.stopping;
  }
}
