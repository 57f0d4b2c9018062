import { join } from 'node:path';
import { type BdevDescriptor, BdevError, type BdevEvent, type BdevRegistry } from '@spdk-ts/bdev';
import { formatCpumask } from '@spdk-ts/env';
import { Logger } from '@spdk-ts/log';
import type { ReactorHost } from '@spdk-ts/reactor';
import { errno, RpcError, rpcCode, strerror } from '@spdk-ts/rpc';
import { type Coalescing, type ControllerDescription, noCoalescing } from '../description.ts';
import type { SessionInfo } from '../session.ts';
import {
  type BlkControllerParams,
  checkCoalescing,
  checkController,
  coresOf,
  refusal,
  TRANSPORT,
} from './params-control.ts';
import { listenAt, removeSocket, SocketError, unlisten } from './socket-control.ts';

/** A call that makes a part of the present state again. */
export interface ConfigCall {
  method: string;
  params: Record<string, unknown>;
}

export interface VhostTargetParts {
  readonly host: ReactorHost;
  readonly bdevs: BdevRegistry;
  /** Where sockets are made; the working directory if it is empty. */
  readonly socketDir: string;
}

const OWNER = 'vhost';

interface Controller {
  readonly id: number;
  readonly name: string;
  readonly path: string;
  readonly reactor: number;
  readonly cores: readonly number[];
  readonly readonly: boolean;
  readonly packed_ring: boolean;
  coalescing: Coalescing;
  /** Null once the bdev is gone. */
  descriptor: BdevDescriptor | null;
  /** What is done about its bdev, one after the other. */
  work: Promise<unknown>;
  /** It is being deleted. */
  ending: boolean;
}

/** The vhost controllers, on the control thread: which there are, whose bdevs they have, on which reactors they are. */
export class VhostTarget {
  private readonly host: ReactorHost;
  private readonly bdevs: BdevRegistry;
  private readonly socketDir: string;
  private readonly controllers = new Map<string, Controller>();
  private readonly log = new Logger('vhost');
  private ids = 0;

  constructor({ host, bdevs, socketDir }: VhostTargetParts) {
    this.host = host;
    this.bdevs = bdevs;
    this.socketDir = socketDir;
  }

  /** The controller of that name. Throws an RPC error. */
  private get(name: string, parameter: string): Controller {
    const found = this.controllers.get(name);
    if (found === undefined)
      throw refusal(
        'ENODEV',
        `${parameter}: there is no vhost controller "${name}"; vhost_get_controllers lists those that exist`,
        parameter,
      );
    return found;
  }

  // --- creation ---

  /** Makes a controller, whose socket listens when this resolves. Rejects with an RPC error. */
  async create(params: BlkControllerParams): Promise<void> {
    const { ctrlr: name, readonly = false, packed_ring = false } = params;
    checkController(params);
    if (this.controllers.has(name))
      throw refusal('EEXIST', `ctrlr: there is a vhost controller "${name}"; choose another name`, 'ctrlr');
    const cores = coresOf(params.cpumask, this.host.reactors);
    const descriptor = this.open(params.dev_name, !readonly, name);
    const path = join(this.socketDir, name);
    const controller: Controller = {
      ...{ id: ++this.ids, name, path, cores, readonly, packed_ring, descriptor },
      ...{ reactor: this.place(cores), coalescing: noCoalescing },
      ...{ work: Promise.resolve(), ending: false },
    };
    // From now on: a second call of that name finds it.
    this.controllers.set(name, controller);
    try {
      await this.start(controller, descriptor);
    } catch (error) {
      this.controllers.delete(name);
      await controller.descriptor?.close();
      throw error;
    }
  }

  private async start(controller: Controller, { description }: BdevDescriptor): Promise<void> {
    const { id, name, path, readonly, packed_ring, cores: cpumask, reactor } = controller;
    const listen_fd = listen(path);
    const bdev = { id: description.id, name: description.name, hides_metadata: description.hides_metadata };
    try {
      const made: ControllerDescription = { id, name, bdev, readonly, packed_ring, cpumask, listen_fd };
      await this.host.call(reactor, 'vhost', 'create', made);
    } catch (error) {
      unlisten(path, listen_fd);
      throw refusal(
        'ENODEV',
        `dev_name ${bdev.name} cannot be used: ${(error as Error).message}`,
        'dev_name',
      );
    }
    this.log.info(`controller ${name}: bdev ${bdev.name} at ${path}, reactor ${reactor}`);
  }

  /** The reactor among those cores that has the fewest controllers. */
  private place(cores: readonly number[]): number {
    const counts = this.host.reactors
      .filter(({ lcore }) => cores.includes(lcore))
      .map(({ index }) => ({
        index,
        count: [...this.controllers.values()].filter(({ reactor }) => reactor === index).length,
      }));
    return counts.sort((a, b) => a.count - b.count || a.index - b.index)[0]!.index;
  }

  private open(dev_name: string, write: boolean, name: string): BdevDescriptor {
    try {
      const onEvent = (event: BdevEvent): void => this.bdevEvent(name, event);
      const descriptor = this.bdevs.open(dev_name, {
        write,
        hide_metadata: true,
        owner: { name: OWNER, onEvent },
      });
      const { kv, zoned } = descriptor.description;
      if (kv === null && !zoned) return descriptor;
      void descriptor.close();
      throw refusal(
        'ENOTSUP',
        `dev_name ${dev_name} ${kv === null ? 'has zones' : 'stores keys'}, and a virtio disk has plain blocks`,
        'dev_name',
      );
    } catch (error) {
      if (!(error instanceof BdevError)) throw error;
      const { message, errno: number } = error;
      const why = message.slice(message.indexOf(': ') + 2);
      throw new RpcError(rpcCode.invalidParams, `${strerror(number)}: dev_name cannot be opened: ${why}`, {
        parameter: 'dev_name',
      });
    }
  }

  // --- the bdev's life ---

  private bdevEvent(name: string, event: BdevEvent): void {
    const controller = this.controllers.get(name);
    if (controller === undefined) return;
    controller.work = controller.work.then(() =>
      (event === 'resize' ? this.resized(controller) : this.removed(controller)).catch((error: Error) =>
        this.log.error(`controller ${name}: ${error.message}`),
      ),
    );
  }

  private async resized({ id, reactor }: Controller): Promise<void> {
    await this.host.call(reactor, 'vhost', 'bdevResized', { id });
  }

  /** Its guest keeps a disk without blocks, whose I/O fails. */
  private async removed(controller: Controller): Promise<void> {
    const { id, reactor, descriptor, name } = controller;
    if (descriptor === null) return;
    this.log.notice(`controller ${name}: bdev ${descriptor.description.name} is removed`);
    await this.host.call(reactor, 'vhost', 'bdevRemoved', { id });
    controller.descriptor = null;
    await descriptor.close();
  }

  // --- end ---

  /** Deletes a controller that has no connection. Rejects with an RPC error. */
  async delete(name: string): Promise<void> {
    await this.remove(this.get(name, 'ctrlr'), false);
  }

  private async remove(controller: Controller, force: boolean): Promise<void> {
    const { id, name, reactor, path } = controller;
    if (controller.ending)
      throw refusal('EBUSY', `ctrlr: controller ${name} is being deleted already`, 'ctrlr');
    controller.ending = true;
    await controller.work;
    if (!(await this.host.call(reactor, 'vhost', 'destroy', { id, force }))) {
      controller.ending = false;
      throw refusal(
        'EBUSY',
        `ctrlr: a virtual machine is connected to controller ${name}; end it, or take the disk from it, first`,
        'ctrlr',
      );
    }
    this.controllers.delete(name);
    removeSocket(path);
    await controller.descriptor?.close();
  }

  /** Ends all connections, and deletes all controllers. */
  async stop(): Promise<void> {
    const all = [...this.controllers.values()].filter(({ ending }) => !ending);
    await Promise.all(all.map((controller) => this.remove(controller, true)));
  }

  // --- coalescing, and what there is ---

  async setCoalescing(name: string, coalescing: Coalescing): Promise<void> {
    const controller = this.get(name, 'ctrlr');
    checkCoalescing(coalescing);
    await this.host.call(controller.reactor, 'vhost', 'setCoalescing', { id: controller.id, coalescing });
    controller.coalescing = coalescing;
  }

  /** The controllers, or the one of that name, as vhost_get_controllers shows them. Rejects with an RPC error. */
  async list(name: string | undefined) {
    const wanted = name === undefined ? [...this.controllers.values()] : [this.find(name)];
    return await Promise.all(wanted.map((controller) => this.show(controller)));
  }

  private find(name: string): Controller {
    const found = this.controllers.get(name);
    if (found === undefined)
      throw new RpcError(
        rpcCode.internalError,
        `${strerror(errno.ENODEV)}: name: there is no vhost controller "${name}"`,
        { parameter: 'name' },
      );
    return found;
  }

  private async show({ id, name, cores, coalescing, path, reactor, readonly, descriptor }: Controller) {
    const sessions = (await this.host.call(reactor, 'vhost', 'sessions', { id })) as SessionInfo[];
    const bdev = descriptor === null ? null : descriptor.description.name;
    return {
      ...{ ctrlr: name, cpumask: `0x${formatCpumask(cores)}` },
      ...{ delay_base_us: coalescing.delay_base_us, iops_threshold: coalescing.iops_threshold },
      ...{ socket: path, sessions },
      backend_specific: { block: { readonly, bdev, transport: TRANSPORT } },
    };
  }

  /** The calls that make the controllers again. Those whose bdev is gone are left out. */
  config(): ConfigCall[] {
    return [...this.controllers.values()].flatMap((controller) => {
      const { name, descriptor, cores, readonly, packed_ring, coalescing } = controller;
      if (descriptor === null) return [];
      const create = {
        method: 'vhost_create_blk_controller',
        params: {
          ...{ ctrlr: name, dev_name: descriptor.description.name, cpumask: `0x${formatCpumask(cores)}` },
          ...{ readonly, packed_ring, transport: TRANSPORT },
        },
      };
      if (coalescing.delay_base_us === 0) return [create];
      return [create, { method: 'vhost_controller_set_coalescing', params: { ctrlr: name, ...coalescing } }];
    });
  }
}

function listen(path: string): number {
  try {
    return listenAt(path);
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    throw refusal(error.code, error.message, 'ctrlr');
  }
}
