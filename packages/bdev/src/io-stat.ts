import { ioErrorNames } from './io-status.ts';
import { IoType } from './io-type.ts';

/*
 * Counters of I/O: one Float64Array, which can be added up, cloned and reset without knowing its fields.
 * Four groups (read, write, unmap, copy) of bytes, operations, and the sum, maximum and minimum of latency in
 * ticks; then a count of failed I/Os for each status.
 */
const GROUP_WORDS = 5;
const OPS = 1;
const LATENCY = 2;
const MAX = 3;
const MIN = 4;
const ERRORS = 4 * GROUP_WORDS;
const WORDS = ERRORS + ioErrorNames.length;

const groups = ['read', 'write', 'unmap', 'copy'] as const;
const byteFields = ['bytes_read', 'bytes_written', 'bytes_unmapped', 'bytes_copied'] as const;

/** What of the counters is reset: everything, only extremes of latency, only failures, or nothing. */
export type StatResetMode = 'all' | 'maxmin' | 'error' | 'none';

type Group = (typeof groups)[number];
export type IoStatJson = { [K in (typeof byteFields)[number]]: number } & {
  [K in Group as `num_${K}_ops`]: number;
} & { [K in Group as `${K}_latency_ticks`]: number } & {
  [K in Group as `${'max' | 'min'}_${K}_latency_ticks`]: number;
} & { io_error: Record<string, number> };

export function newIoStat(): Float64Array {
  const stat = new Float64Array(WORDS);
  resetIoStat(stat, 'all');
  return stat;
}

/** Counts a successful I/O of one of the types that are counted. For the hot path. */
export function countIo(stat: Float64Array, type: number, bytes: number, ticks: number): void {
  // READ, WRITE and UNMAP are 0, 1 and 2: groups in this order.
  let at = 3 * GROUP_WORDS;
  if (type <= IoType.UNMAP) at = type * GROUP_WORDS;
  else if (type !== IoType.COPY) return;
  stat[at] = stat[at]! + bytes;
  stat[at + OPS] = stat[at + OPS]! + 1;
  stat[at + LATENCY] = stat[at + LATENCY]! + ticks;
  if (ticks > stat[at + MAX]!) stat[at + MAX] = ticks;
  if (ticks < stat[at + MIN]!) stat[at + MIN] = ticks;
}

/** Counts an I/O that ended with a status other than SUCCESS. */
export function countIoError(stat: Float64Array, status: number): void {
  const at = ERRORS - status;
  if (status < 0 && at < WORDS) stat[at] = stat[at]! + 1;
}

export function addIoStat(total: Float64Array, add: Float64Array): void {
  for (let at = 0; at < WORDS; at++) {
    const field = at < ERRORS ? at % GROUP_WORDS : OPS;
    if (field === MAX) total[at] = Math.max(total[at]!, add[at]!);
    else if (field === MIN) total[at] = Math.min(total[at]!, add[at]!);
    else total[at] = total[at]! + add[at]!;
  }
}

export function resetIoStat(stat: Float64Array, mode: StatResetMode): void {
  if (mode === 'none') return;
  if (mode !== 'maxmin') stat.fill(0, ERRORS);
  if (mode === 'error') return;
  if (mode === 'all') stat.fill(0, 0, ERRORS);
  for (let at = 0; at < ERRORS; at += GROUP_WORDS) {
    stat[at + MAX] = 0;
    stat[at + MIN] = Number.POSITIVE_INFINITY;
  }
}

/** The counters as bdev_get_iostat shows them, in its order. A minimum of nothing is 0. */
export function ioStatJson(stat: Float64Array): IoStatJson {
  const json: Record<string, unknown> = {};
  groups.forEach((name, group) => {
    json[byteFields[group]!] = stat[group * GROUP_WORDS];
    json[`num_${name}_ops`] = stat[group * GROUP_WORDS + OPS];
  });
  groups.forEach((name, group) => {
    const at = group * GROUP_WORDS;
    const min = stat[at + MIN]!;
    json[`${name}_latency_ticks`] = stat[at + LATENCY];
    json[`max_${name}_latency_ticks`] = stat[at + MAX];
    json[`min_${name}_latency_ticks`] = min === Number.POSITIVE_INFINITY ? 0 : min;
  });
  const io_error: Record<string, number> = {};
  ioErrorNames.forEach((name, index) => {
    const count = stat[ERRORS + index]!;
    if (count > 0) io_error[name] = count;
  });
  json['io_error'] = io_error;
  return json as IoStatJson;
}
