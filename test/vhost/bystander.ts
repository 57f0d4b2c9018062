import { expect } from 'vitest';
import { FrontEnd, Status, Type } from './front-end.ts';
import { pattern, type VhostTarget } from './setup.ts';

const BYTES = 65_536;
const SEED = 77;

/** Another guest, on the same reactor, that must not notice what others do: it looks whether its disk is as it left it. */
export class Bystander {
  private readonly target: VhostTarget;
  private readonly vm: FrontEnd;

  static async start(target: VhostTarget, ctrlr: string): Promise<Bystander> {
    const vm = await FrontEnd.start(target.socket(ctrlr));
    await vm.io(Type.OUT, 0, pattern(SEED, BYTES));
    return new Bystander(target, vm);
  }

  private constructor(target: VhostTarget, vm: FrontEnd) {
    this.target = target;
    this.vm = vm;
  }

  /** It is served. */
  async look(): Promise<void> {
    await this.vm.io(Type.IN, 0, 512);
  }

  /** It is served, with its own data, and the target runs. */
  async check(): Promise<void> {
    const { status, data } = await this.vm.io(Type.IN, 0, BYTES);
    expect([status, Buffer.compare(data, pattern(SEED, BYTES))]).toEqual([Status.OK, 0]);
    expect(this.target.process.child.exitCode).toBe(null);
  }

  close(): void {
    this.vm.close();
  }
}
