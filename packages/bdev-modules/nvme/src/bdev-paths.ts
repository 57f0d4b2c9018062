import { addIoStat } from '@spdk-ts/bdev';
import type { IoPath } from './channel-paths.ts';
import { type BdevPathsMessage, type ChannelPaths, PathAccess, type PathStat } from './context.ts';
import type { ReactorPath } from './path.ts';
import type { RequestSender } from './sender.ts';

/** A bdev's paths on one reactor: what its channels there are told. */
export class BdevPaths {
  private message: BdevPathsMessage;
  private readonly find: (controller: number) => ReactorPath;
  private readonly channels = new Map<RequestSender, string>();
  /** What channels and paths that are gone have counted, by controller. */
  private readonly gone = new Map<number, Float64Array>();

  constructor(message: BdevPathsMessage, find: (controller: number) => ReactorPath) {
    this.message = message;
    this.find = find;
  }

  take(message: BdevPathsMessage): void {
    this.message = message;
    for (const { choice } of this.channels.keys()) this.keep(choice.apply(message, this.find));
  }

  add(sender: RequestSender, thread: string): void {
    this.channels.set(sender, thread);
    sender.choice.apply(this.message, this.find);
  }

  remove(sender: RequestSender): void {
    this.channels.delete(sender);
    this.keep(sender.choice.leave());
  }

  private keep(paths: readonly IoPath[]): void {
    for (const { queue, stat } of paths) {
      if (stat === null) continue;
      const kept = this.gone.get(queue.controller);
      if (kept === undefined) this.gone.set(queue.controller, stat);
      else addIoStat(kept, stat);
    }
  }

  /** For bdev_nvme_get_io_paths. */
  describe(): ChannelPaths[] {
    const { bdev } = this.message;
    return [...this.channels].map(([{ choice }, thread]) => ({
      ...{ thread, bdev },
      paths: choice.all.map((path) => ({
        controller: path.queue.controller,
        current: choice.uses(path),
        connected: path.queue.connected,
        accessible: path.access <= PathAccess.NON_OPTIMIZED && !path.outdated,
      })),
    }));
  }

  /** For bdev_nvme_get_path_iostat. */
  stats(): PathStat[] {
    const all = [...this.gone].map(([controller, stat]) => ({ controller, stat }));
    for (const { choice } of this.channels.keys())
      for (const { queue, stat } of choice.all)
        if (stat !== null) all.push({ controller: queue.controller, stat });
    return all;
  }
}
