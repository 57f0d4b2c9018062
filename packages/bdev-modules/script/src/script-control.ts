import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type BdevDescription,
  BdevError,
  type BdevRegistry,
  checkBlockSize,
  checkNumber,
  Errno,
} from '@spdk-ts/bdev';
import { typeScriptUnavailable } from '@spdk-ts/env';
import { Logger } from '@spdk-ts/log';
import type { ReactorHost } from '@spdk-ts/reactor';
import type { ScriptOptions } from './api.ts';
import { type DescriptionContext, type InspectParams, type OpenParams, SERVICE } from './calls.ts';
import { watchFile } from './watch-control.ts';

export const MODULE = 'script';
/** How long a reload waits for I/O of the version before, ms. */
const DRAIN_MS = 10_000;

export interface CreateParams {
  readonly name: string;
  readonly path: string;
  readonly block_size: number;
  readonly num_blocks: number;
  readonly params?: Record<string, unknown>;
  readonly watch?: boolean;
  readonly uuid?: string;
}

/** What the control thread knows of a script bdev. */
export interface ScriptState {
  readonly key: number;
  readonly name: string;
  readonly path: string;
  readonly params: Record<string, unknown>;
  readonly watch: boolean;
  /** How many versions have served it. */
  version: number;
  /** Why the last reload did not succeed; empty if it did. */
  reload_error: string;
  /** Text of the file when it was last loaded, with success or not. */
  source: string;
  /** The last reload: they follow one another. */
  reloading: Promise<void>;
  stopWatching: () => void;
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The file's text. Throws BdevError. */
function readSource(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message: text } = error as NodeJS.ErrnoException;
    throw new BdevError(code === 'ENOENT' ? Errno.ENOENT : Errno.EINVAL, `path is ${path}: ${text}`);
  }
}

function allocate(bytes: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(bytes);
  } catch (error) {
    throw new BdevError(
      Errno.ENOMEM,
      `the script's memory_bytes is ${bytes}, which could not be had: ${message(error)}`,
    );
  }
}

/** Makes, reloads and forgets script bdevs. */
export class ScriptBdevs {
  private readonly host: ReactorHost;
  private readonly bdevs: BdevRegistry;
  private readonly log = new Logger('plugin');
  private readonly states = new Map<number, ScriptState>();
  private keys = 0;
  /** Node.js loads an address once: every load has one of its own. */
  private loads = 0;

  constructor(host: ReactorHost, bdevs: BdevRegistry) {
    this.host = host;
    this.bdevs = bdevs;
  }

  private newUrl(path: string): string {
    return `${pathToFileURL(path).href}?load=${++this.loads}`;
  }

  /** Asks every reactor and waits for all answers. Rejects with the first error. */
  private async all(method: string, params: unknown): Promise<unknown[]> {
    const asked = this.host.reactors.map(({ index }) => this.host.call(index, SERVICE, method, params));
    const answers = await Promise.allSettled(asked);
    return answers.map((answer) => {
      if (answer.status === 'rejected') throw answer.reason;
      return answer.value;
    });
  }

  /** bdev_script_create. Rejects with BdevError. */
  async create({ name, block_size, num_blocks, uuid, ...rest }: CreateParams): Promise<BdevDescription> {
    const { params = {}, watch = true } = rest;
    checkBlockSize(block_size);
    checkNumber('num_blocks', num_blocks, 1, Math.floor(Number.MAX_SAFE_INTEGER / block_size));
    const path = resolve(rest.path);
    const source = readSource(path);
    const why = typeScriptUnavailable(path);
    if (why !== '') throw new BdevError(Errno.EINVAL, why);
    const key = ++this.keys;
    const options: ScriptOptions = { name, block_size, num_blocks, params };
    const io_types = await this.open(key, path, source, options);
    const state: ScriptState = {
      ...{ key, name, path, params, watch, source, version: 1, reload_error: '' },
      reloading: Promise.resolve(),
      stopWatching: () => {},
    };
    this.states.set(key, state);
    try {
      const context: DescriptionContext = { key };
      const description = await this.bdevs.register(MODULE, {
        ...{ name, uuid, block_size, num_blocks, io_types, context },
        product_name: 'Script disk',
      });
      if (watch) this.watch(state);
      return description;
    } catch (error) {
      this.states.delete(key);
      await this.all('close', { key });
      throw error;
    }
  }

  /** Opens the script on every reactor. Resolves with the I/O types that it has functions for. */
  private async open(key: number, path: string, source: string, options: ScriptOptions): Promise<number> {
    try {
      const inspect: InspectParams = { url: this.newUrl(path), options };
      const memory = allocate((await this.host.call(0, SERVICE, 'inspect', inspect)) as number);
      const params: OpenParams = { ...inspect, key, memory };
      const masks = (await this.all('open', params)) as number[];
      this.checkUnchanged(path, source);
      return masks.reduce((all, mask) => all & mask, masks[0]!);
    } catch (error) {
      await this.all('close', { key });
      if (error instanceof BdevError) throw error;
      throw new BdevError(Errno.EINVAL, `script ${path}: ${message(error)}`);
    }
  }

  /** Each reactor reads the file by itself: all must have got the same. */
  private checkUnchanged(path: string, source: string): void {
    if (readSource(path) !== source) throw new Error('it was changed while it was loaded; try again');
  }

  private watch(state: ScriptState): void {
    const failed = (error: Error): void =>
      this.log.warn(
        `bdev ${state.name}: ${state.path} cannot be watched (${error.message}): use bdev_script_reload`,
      );
    const changed = (): void => {
      try {
        if (readFileSync(state.path, 'utf8') === state.source) return;
      } catch {
        return; // It is gone for the moment: what takes its place is noticed as well.
      }
      this.enqueue(state).catch(() => {}); // It was logged.
    };
    try {
      state.stopWatching = watchFile(state.path, changed, failed);
    } catch (error) {
      failed(error as Error);
    }
  }

  /** bdev_script_reload. Rejects with BdevError; the version before goes on then. */
  async reload(name: string): Promise<void> {
    const description = this.bdevs.get(name);
    if (description?.module !== MODULE)
      throw new BdevError(Errno.ENODEV, `no script bdev has the name "${name}"`);
    await this.enqueue(this.state(description));
  }

  private enqueue(state: ScriptState): Promise<void> {
    const mine = state.reloading.then(() => this.reloadNow(state));
    state.reloading = mine.catch(() => {});
    return mine;
  }

  private async reloadNow(state: ScriptState): Promise<void> {
    const { key, name, path } = state;
    if (!this.states.has(key)) throw new BdevError(Errno.ENODEV, `bdev ${name} is gone`);
    try {
      const source = readSource(path);
      state.source = source;
      await this.all('load', { key, url: this.newUrl(path) });
      this.checkUnchanged(path, source);
      await this.takeOver(key);
      state.version++;
      state.reload_error = '';
      this.log.notice(`bdev ${name}: version ${state.version} of ${path} has taken over`);
    } catch (error) {
      await this.all('discard', { key });
      state.reload_error = message(error);
      this.log.error(
        `bdev ${name}: what ${path} is now is not used, version ${state.version} goes on: ${message(error)}`,
      );
      throw new BdevError(
        Errno.EINVAL,
        `script ${path}: ${message(error)}; version ${state.version}, which works, goes on`,
      );
    }
  }

  /** No instance of the version before works while one of the next does: they share memory. */
  private async takeOver(key: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`I/O of the version before has not ended within ${DRAIN_MS / 1000} s`)),
        DRAIN_MS,
      );
    });
    try {
      await Promise.race([this.all('pause', { key }), late]);
      await this.all('prepare', { key });
      await this.all('commit', { key });
    } finally {
      clearTimeout(timer);
      await this.all('discard', { key });
      await this.all('resume', { key });
    }
  }

  state({ context }: BdevDescription): ScriptState {
    return this.states.get((context as DescriptionContext).key)!;
  }

  /** The bdev is gone; reactors have closed their instances. */
  forget(description: BdevDescription): void {
    const state = this.state(description);
    state.stopWatching();
    this.states.delete(state.key);
  }
}
