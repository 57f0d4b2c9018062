import type { BdevDescription } from '@spdk-ts/bdev';
import type { Reactor } from '@spdk-ts/reactor';
import { StackedDevice } from '@spdk-ts/vbdev';
import { ErrorChannel } from './channel.ts';
import type { ErrorContext } from './context.ts';
import { Injection } from './injection.ts';
import { RuleSet } from './rules.ts';

/** An error bdev on one reactor: its rules count here, over all of the reactor's threads. */
export class ErrorDevice extends StackedDevice<ErrorChannel> {
  readonly injection: Injection;
  /** A region of 256 bytes, each of which has the value of its offset. */
  readonly everyByte: number;
  rules: RuleSet;
  private run: number;
  private readonly devices: Map<number, ErrorDevice>;

  /** `devices`: where it is found by id as long as it exists. */
  constructor(
    description: BdevDescription,
    reactor: Reactor,
    everyByte: number,
    devices: Map<number, ErrorDevice>,
  ) {
    super(description, reactor, (base, _device, thread) => new ErrorChannel(base, this, thread));
    const context = description.context as ErrorContext;
    this.everyByte = everyByte;
    this.injection = new Injection(context.injection);
    this.rules = new RuleSet(context.rules, context.seed, reactor.index);
    this.run = context.run;
    this.devices = devices;
    devices.set(description.id, this);
  }

  override update(description: BdevDescription): void {
    super.update(description);
    const { rules, seed, run } = description.context as ErrorContext;
    if (run === this.run) return;
    this.run = run;
    this.rules = new RuleSet(rules, seed, this.reactor.index);
  }

  destroy(): void {
    this.devices.delete(this.description.id);
  }

  resume(): void {
    for (const channel of this.channels) channel.resume();
  }
}
