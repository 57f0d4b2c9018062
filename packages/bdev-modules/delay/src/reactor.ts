import { type BdevChannel, type BdevIo, IoStatus, IoType, registerReactorModule } from '@spdk-ts/bdev';
import { TICKS_PER_US } from '@spdk-ts/env';
import type { ReactorPlugin, Thread } from '@spdk-ts/reactor';
import { DelayLine, StackedChannel, type StackedDevice, stackedReactorModule } from '@spdk-ts/vbdev';
import type { DelayContext } from './context.ts';

/** Holds reads and writes back after the base has ended them. */
class DelayChannel extends StackedChannel {
  private readonly device: StackedDevice<DelayChannel>;
  private readonly line: DelayLine;

  constructor(base: BdevChannel, device: StackedDevice<DelayChannel>, thread: Thread) {
    super(base, 0);
    this.device = device;
    this.line = new DelayLine(thread, 'bdev_delay');
  }

  override submit(io: BdevIo): void {
    if (io.type === IoType.RESET) this.line.flush(IoStatus.ABORTED);
    this.forward(io);
  }

  protected override ended(io: BdevIo, status: number): void {
    const latency_us = this.latency(io.type);
    if (latency_us === 0) io.completeNow(status);
    else this.line.hold(io, status, this.device.reactor.now + latency_us * TICKS_PER_US);
  }

  private latency(type: number): number {
    if (type !== IoType.READ && type !== IoType.WRITE) return 0;
    const context = this.device.description.context as DelayContext;
    const p99 = this.device.reactor.random.below(100) === 0;
    if (type === IoType.READ) return p99 ? context.p99_read_latency : context.avg_read_latency;
    return p99 ? context.p99_write_latency : context.avg_write_latency;
  }

  override abort(io: BdevIo): boolean {
    if (!this.line.remove(io)) return super.abort(io);
    io.complete(IoStatus.ABORTED);
    return true;
  }

  override retire(): void {
    this.line.flush();
  }

  override destroy(): void {
    this.line.destroy();
    super.destroy();
  }
}

const module = stackedReactorModule<DelayChannel>(
  'delay',
  (base, device, thread) => new DelayChannel(base, device, thread),
);

const plugin: ReactorPlugin = {
  name: 'bdev_delay',
  start(reactor) {
    registerReactorModule(reactor, module);
    return {};
  },
};
export default plugin;
