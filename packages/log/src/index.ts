/**
 * Leveled logging with component flags. The levels live in shared memory, so that `log_set_level` and its kin
 * take effect on every reactor at once. Lines go to standard error by a synchronous write: what a thread says
 * just before it dies is seen.
 */
import { writeSync } from 'node:fs';

export { LimitedLogger } from './limited-logger.ts';

/** Level names as SPDK spells them, most severe first. The index is the level's number. */
export const logLevels = ['ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Every component that can be given a flag of its own (`-L`, `log_set_flag`). */
export const logFlags = [
  'app',
  'bdev',
  'bdev_aio',
  'bdev_file',
  'bdev_kv',
  'bdev_malloc',
  'bdev_null',
  'bdev_nvme',
  'bdev_uring',
  'bdev_xnvme',
  'bdevperf',
  'nvme',
  'nvmf',
  'nvmf_auth',
  'nvmf_tcp',
  'nvmf_vfio',
  'plugin',
  'reactor',
  'rpc',
  'sock',
  'thread',
  'vbdev_delay',
  'vbdev_error',
  'vbdev_gpt',
  'vbdev_passthru',
  'vbdev_split',
  'vbdev_zone_block',
  'vhost',
] as const;
export type LogFlag = (typeof logFlags)[number];

const LEVEL = 0;
const PRINT_LEVEL = 1;
const TIMESTAMPS = 2;
const FLAGS = 3;
const WORDS = 4;
const NOTICE = 2;
const INFO = 3;

let state = new Int32Array(new SharedArrayBuffer(WORDS * 4));
state.set([NOTICE, NOTICE, 1, 0]);
let write = (line: string): void => {
  try {
    writeSync(2, line);
  } catch {
    // Nobody reads standard error (EAGAIN, EPIPE): a lost log line must not end the process.
  }
};

/** The shared state, to hand to a worker. */
export function logState(): SharedArrayBuffer {
  return state.buffer as SharedArrayBuffer;
}

/** Uses the state of another thread from now on. */
export function adoptLogState(shared: SharedArrayBuffer): void {
  state = new Int32Array(shared);
}

/** Sends the lines elsewhere (tests, the RPC's subscribers). Returns what was used before. */
export function setLogWriter(writer: (line: string) => void): (line: string) => void {
  const before = write;
  write = writer;
  return before;
}

function levelNumber(level: LogLevel): number {
  return logLevels.indexOf(level);
}
function levelName(word: number): LogLevel {
  return logLevels[Atomics.load(state, word)] ?? 'NOTICE';
}

export const setLogLevel = (level: LogLevel): void => void Atomics.store(state, LEVEL, levelNumber(level));
export const getLogLevel = (): LogLevel => levelName(LEVEL);
export const setPrintLevel = (level: LogLevel): void =>
  void Atomics.store(state, PRINT_LEVEL, levelNumber(level));
export const getPrintLevel = (): LogLevel => levelName(PRINT_LEVEL);
export const setTimestamps = (on: boolean): void => void Atomics.store(state, TIMESTAMPS, on ? 1 : 0);

/** Sets or clears one flag, or all of them for `all`. False if there is no such flag. */
export function setLogFlag(flag: string, on: boolean): boolean {
  const index = logFlags.indexOf(flag as LogFlag);
  if (index < 0 && flag !== 'all') return false;
  const bits = flag === 'all' ? (1 << logFlags.length) - 1 : 1 << index;
  if (on) Atomics.or(state, FLAGS, bits);
  else Atomics.and(state, FLAGS, ~bits);
  return true;
}

/** Every flag and whether it is set. */
export function getLogFlags(): Record<string, boolean> {
  const bits = Atomics.load(state, FLAGS);
  return Object.fromEntries(logFlags.map((flag, index) => [flag, (bits & (1 << index)) !== 0]));
}

/** SPDK's time stamp, `[YYYY-MM-DD hh:mm:ss.uuuuuu]`, local time. */
function timestamp(): string {
  const now = new Date();
  const two = (value: number): string => String(value).padStart(2, '0');
  const micros = String(now.getMilliseconds() * 1000).padStart(6, '0');
  return (
    `[${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())} ` +
    `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}.${micros}] `
  );
}

/** One component's voice. `info` and `debug` are heard when the level or the component's flag says so. */
export class Logger {
  readonly flag: LogFlag;
  private readonly bit: number;

  constructor(flag: LogFlag) {
    this.flag = flag;
    this.bit = 1 << logFlags.indexOf(flag);
  }

  /** True if a debug line would be seen: ask before building an expensive one. */
  get debugging(): boolean {
    return (Atomics.load(state, FLAGS) & this.bit) !== 0 || Atomics.load(state, PRINT_LEVEL) >= 4;
  }

  error(text: string): void {
    this.line(0, text);
  }
  warn(text: string): void {
    this.line(1, text);
  }
  notice(text: string): void {
    this.line(2, text);
  }
  info(text: string): void {
    this.line(3, text);
  }
  debug(text: string): void {
    this.line(4, text);
  }

  private line(level: number, text: string): void {
    const flagged = level >= INFO && (Atomics.load(state, FLAGS) & this.bit) !== 0;
    if (!flagged && level > Math.min(Atomics.load(state, PRINT_LEVEL), 4)) return;
    const time = Atomics.load(state, TIMESTAMPS) !== 0 ? timestamp() : '';
    write(`${time}${this.flag}: *${logLevels[level]}*: ${text}\n`);
  }
}
