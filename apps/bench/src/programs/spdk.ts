import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Launch } from '../child.ts';
import { Skip } from '../skip.ts';
import { cpuMask, type Program, type StartOptions } from './program.ts';

export const spdkTargets = ['nvmf_tgt', 'spdk_tgt'] as const;
export type SpdkTarget = (typeof spdkTargets)[number];

/** DPDK and the target's own pools; spdk_tgt's iSCSI needs more. */
const OWN_MIB: Readonly<Record<SpdkTarget, number>> = { nvmf_tgt: 640, spdk_tgt: 1152 };

/** SPDK's own programs, from a directory in which they were built (--spdk DIR). */
export class Spdk implements Program {
  readonly #directory: string;
  readonly #target: SpdkTarget;
  readonly version: string;

  /** Throws an Error if the directory holds no built SPDK. */
  constructor(directory: string, target: SpdkTarget) {
    this.#directory = directory;
    this.#target = target;
    if (!existsSync(join(directory, 'build/bin')))
      throw new Error(
        `--spdk ${directory}: there is no build/bin in it; give the directory SPDK was built in`,
      );
    const memory = freeHugepageMib() > 0 ? 'with hugepages' : 'without hugepages';
    this.version = `${versionOf(join(directory, 'build/bin', target))}, ${target}, ${memory}`;
  }

  target({ cores, socket, memory_bytes, args, config }: StartOptions): Launch {
    const memory = memoryArgs(OWN_MIB[this.#target] + memory_bytes / 2 ** 20);
    return {
      argv: [
        ...[this.path(`build/bin/${this.#target}`), '-m', cpuMask(cores), '-r', socket, ...memory],
        ...['--no-pci', '--disable-cpumask-locks', '--silence-noticelog'],
        ...(config === undefined ? [] : ['-c', config]),
        ...args,
      ],
    };
  }

  bdevperf({ cores, socket, memory_bytes, args, config }: StartOptions): Launch {
    const program = this.path('build/examples/bdevperf');
    const memory = memoryArgs(512 + (memory_bytes * 1.25) / 2 ** 20);
    return {
      argv: [
        ...[program, '-z', '-l', '-l', '-m', cpuMask(cores), '-r', socket, ...memory],
        ...['--no-pci', '--disable-cpumask-locks', '--silence-noticelog'],
        ...(config === undefined ? [] : ['-c', config]),
        ...args,
      ],
    };
  }

  /** Throws Skip if it was not built. */
  path(name: string): string {
    const path = join(this.#directory, name);
    if (!existsSync(path)) throw new Skip(`SPDK was built without ${name}`);
    return path;
  }
}

/** Hugepages when there are enough free ones, ordinary memory otherwise. */
export function memoryArgs(mib: number): string[] {
  const size = String(Math.ceil(mib));
  return freeHugepageMib() >= mib ? ['-s', size] : ['--no-huge', '-s', size];
}

/** 0 as well where no hugetlbfs is mounted, from which SPDK takes them. */
function freeHugepageMib(): number {
  try {
    if (!/ hugetlbfs /.test(readFileSync('/proc/mounts', 'utf8'))) return 0;
    const text = readFileSync('/proc/meminfo', 'utf8');
    const value = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
    return (value('HugePages_Free') * value('Hugepagesize')) / 1024;
  } catch {
    return 0;
  }
}

function versionOf(program: string): string {
  try {
    const text = execFileSync(program, ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return text.trim().split('\n').at(-1) ?? 'SPDK';
  } catch {
    return 'SPDK';
  }
}
