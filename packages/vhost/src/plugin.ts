import type { Reactor, ReactorPlugin, ReactorService } from '@spdk-ts/reactor';
import type { BlkController } from './controller.ts';
import type { Coalescing, ControllerDescription } from './description.ts';

/** What the control thread may ask of the controllers on one reactor, whose code is loaded with the first. */
class VhostService {
  private readonly reactor: Reactor;
  private readonly controllers = new Map<number, BlkController>();
  private stopped = false;

  constructor(reactor: Reactor) {
    this.reactor = reactor;
  }

  private controller(id: number): BlkController {
    const found = this.controllers.get(id);
    if (found === undefined) throw new Error(`reactor ${this.reactor.index} has no vhost controller ${id}`);
    return found;
  }

  calls(): ReactorService {
    return {
      create: async (description: ControllerDescription) => {
        const { BlkController } = await import('./controller.ts');
        if (this.stopped) throw new Error(`reactor ${this.reactor.index} is ending`);
        this.controllers.set(description.id, new BlkController(this.reactor, description));
      },
      sessions: ({ id }: { id: number }) => this.controller(id).info,
      setCoalescing: ({ id, coalescing }: { id: number; coalescing: Coalescing }) =>
        this.controller(id).setCoalescing(coalescing),
      bdevResized: ({ id }: { id: number }) => this.controller(id).bdevResized(),
      bdevRemoved: ({ id }: { id: number }) => this.controller(id).bdevRemoved(),
      /** False, and nothing has happened, if it has connections; `force` ends those. */
      destroy: ({ id, force }: { id: number; force: boolean }) => this.destroy(id, force),
      stop: () => {
        this.stopped = true;
        return Promise.all([...this.controllers.keys()].map((id) => this.destroy(id, true)));
      },
    };
  }

  private async destroy(id: number, force: boolean): Promise<boolean> {
    const controller = this.controller(id);
    if (controller.busy && !force) return false;
    this.controllers.delete(id);
    await controller.destroy();
    return true;
  }
}

/** The vhost target's half on a reactor. */
export const vhostReactorPlugin: ReactorPlugin = {
  name: 'vhost',
  start: (reactor: Reactor) => new VhostService(reactor).calls(),
};
