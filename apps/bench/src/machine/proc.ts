import { existsSync, readdirSync, readFileSync } from 'node:fs';

/*
 * What /proc says about CPU time. Linux counts in ticks of USER_HZ, which is 100 on every architecture Node runs on.
 */

const TICKS_PER_S = 100;

/** CPU time of a process with all its threads, and of the children it has waited for. */
export interface ProcessTime {
  readonly pid: number;
  readonly name: string;
  readonly user_s: number;
  readonly system_s: number;
}

/** CPU time of the machine since it booted, over all CPUs. */
export interface MachineTime {
  /** Work of processes, the kernel's on their behalf included. */
  readonly busy_s: number;
  /** Interrupts and soft interrupts: much of a loopback transfer, so nobody's fault. */
  readonly interrupts_s: number;
  /** The hypervisor gave the CPU to someone else. */
  readonly steal_s: number;
}

/** Parses /proc/PID/stat. The name may hold spaces and parentheses: fields are counted from its last one. */
export function parseProcessStat(text: string): ProcessTime {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) throw new Error(`not a /proc/PID/stat line: ${text.slice(0, 80)}`);
  const fields = text.slice(close + 2).split(' ');
  // `man 5 proc` counts from 1, and fields[0] is its field 3: utime 14, stime 15, cutime 16, cstime 17.
  const ticks = (field: number): number => Number(fields[field - 3]);
  return {
    pid: Number(text.slice(0, open)),
    name: text.slice(open + 1, close),
    user_s: (ticks(14) + ticks(16)) / TICKS_PER_S,
    system_s: (ticks(15) + ticks(17)) / TICKS_PER_S,
  };
}

/** Parses the first line of /proc/stat. */
export function parseMachineStat(text: string): MachineTime {
  const match = /^cpu\s+(.*)$/m.exec(text);
  if (match === null) throw new Error('/proc/stat has no line that begins with cpu');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = match[1]!
    .split(' ')
    .map((ticks) => Number(ticks) / TICKS_PER_S);
  return { busy_s: user + nice + system, interrupts_s: irq + softirq, steal_s: steal };
}

/** The first number of /proc/loadavg: runnable threads, averaged over a minute. */
export const parseLoadAverage = (text: string): number => Number(text.split(' ')[0]);

/** Parses the kB figures of /proc/PID/status. Resident memory in bytes, hugepages beside it. */
export function parseMemory(text: string): { readonly rss: number; readonly hugepages: number } {
  const bytes = (key: string): number =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return { rss: bytes('VmRSS'), hugepages: bytes('HugetlbPages') };
}

const read = (path: string): string => readFileSync(path, 'utf8');

/** Null on a machine without Linux's /proc: then CPU figures are left out and no sample is rejected. */
export const hasProc = existsSync('/proc/stat');

export const readMachine = (): MachineTime => parseMachineStat(read('/proc/stat'));
export const readLoadAverage = (): number => parseLoadAverage(read('/proc/loadavg'));
export const readMemory = (pid: number) => parseMemory(read(`/proc/${pid}/status`));

/** Null when the process is gone. */
export function readProcess(pid: number): ProcessTime | null {
  try {
    return parseProcessStat(read(`/proc/${pid}/stat`));
  } catch {
    return null;
  }
}

/** A process and its descendants, as far as the kernel lists them. */
export function family(pid: number): number[] {
  let text: string;
  try {
    text = read(`/proc/${pid}/task/${pid}/children`);
  } catch {
    return [pid];
  }
  return [pid, ...text.split(' ').filter(Boolean).map(Number).flatMap(family)];
}

/** Every process there is now. */
export function allProcesses(): Map<number, ProcessTime> {
  const found = new Map<number, ProcessTime>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const process = readProcess(Number(name));
    if (process !== null) found.set(process.pid, process);
  }
  return found;
}
