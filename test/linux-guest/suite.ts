/**
 * One guest run as a vitest suite: a list of checks, each a bash script in the guest and, if need be, a look at
 * what it left, by the host. The suite's last test holds what must be true after any run.
 */
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { Guest, type Handlers, type Result } from './guest.ts';
import { unexpectedLines } from './kernel-log.ts';
import { address, eventually, type Json, type Target } from './target.ts';

/** What a script has left. */
export interface Output extends Result {
  /** The text of $out/NAME. */
  read: (name: string) => string;
  /** The same, parsed. */
  json: (name: string) => Json;
}

export interface Check {
  title: string;
  bash: string;
  host?: Handlers;
  /** Looks at what the script left, if it succeeded. */
  expect?: (output: Output) => void;
}

/** What is common to the checks of a suite; valid once they run. */
export interface World {
  target: Target;
  guest: Guest;
  port: number;
}

export interface SuiteOptions {
  /** Fills `target` and `port`, which the guest knows as $port; returns more variables for the guest. */
  start: (world: World) => Promise<Record<string, string | number> | undefined>;
  checks: (world: World) => Check[];
  cpus?: number;
  memoryMiB?: number;
  /** More arguments of QEMU, split at spaces; asked for when the target runs. */
  qemu?: string[] | ((world: World) => string[]);
  /** Devices of the machine, as the guest tool's -d has them: the guest's NVMe is these, and nothing is connected. */
  devices?: (world: World) => readonly string[];
  seconds?: number;
  /** Kernel messages that belong to what is done here. */
  allowed?: RegExp[];
  stop?: () => Promise<void>;
}

export function guestSuite(title: string, options: SuiteOptions): void {
  describe(title, () => {
    const world = {} as World;
    const checks = options.checks(world);
    if (options.devices === undefined) fabrics(checks, world);

    beforeAll(async () => {
      const variables = await options.start(world);
      const qemu = typeof options.qemu === 'function' ? options.qemu(world) : options.qemu;
      world.guest = await Guest.start({
        scripts: checks,
        variables: { address, port: world.port, ...variables },
        ...(options.cpus && { cpus: options.cpus }),
        ...(options.memoryMiB && { memoryMiB: options.memoryMiB }),
        ...(qemu && { qemu }),
        ...(options.devices && { devices: options.devices(world) }),
        ...(options.seconds && { seconds: options.seconds }),
      });
    });

    afterAll(async () => {
      await world.guest?.dispose();
      await world.target?.dispose();
      await options.stop?.();
    });

    const showTarget = (): void => {
      console.error(`--- target (${world.target.running ? 'running' : 'ended'}):\n${world.target.output}---`);
    };

    checks.forEach((check, i) => {
      it(check.title, async () => {
        onTestFailed(showTarget);
        const result = await world.guest.result(i);
        if (result.hostErrors.length > 0) throw result.hostErrors[0];
        if (result.status !== 0)
          throw new Error(`In the guest (exit status ${result.status}):\n${result.output}`);
        const read = (name: string): string => world.guest.read(i, name);
        check.expect?.({ ...result, read, json: (name) => JSON.parse(read(name)) });
      });
    });

    it('the kernel says nothing unusual, and the target ends when asked to', async () => {
      onTestFailed(showTarget);
      const { status, dmesg, output } = await world.guest.ended;
      expect(status, output).toBe(0);
      expect(dmesg).toContain('Command line');
      expect(unexpectedLines(dmesg, options.allowed)).toEqual([]);
      expect(world.target.running).toBe(true);
      expect(await world.target.stop()).toBe(0);
    });
  });
}

/** What guests that connect begin and end with. */
function fabrics(checks: Check[], world: World): void {
  checks.unshift({
    title: 'the guest has its driver',
    bash: 'modprobe nvme-tcp; wait_for 5 test -e /dev/nvme-fabrics',
  });
  checks.push({
    title: 'disconnected, it leaves nothing in the guest and no controller at the target',
    bash: 'leave; host no_controllers',
    host: {
      no_controllers: () =>
        eventually(10, 'no controller is left', async () => {
          const left = await world.target.controllers();
          if (left.length > 0) throw new Error(JSON.stringify(left));
          return true;
        }),
    },
  });
}
