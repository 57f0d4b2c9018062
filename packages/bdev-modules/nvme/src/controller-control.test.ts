import type { NamespaceInfo, NvmeTarget } from '@spdk-ts/nvme';
import { anaState } from '@spdk-ts/nvme-spec';
import type { ReactorHost } from '@spdk-ts/reactor';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Attachment } from './attach-control.ts';
import { type AttachedController, type ControllerMessage, PathAccess } from './context.ts';
import { ControllerEntry } from './controller-control.ts';
import { defaultOptions } from './options-control.ts';

const ANATT_S = 4;
const NSID = 3;

const target = { trid: { traddr: '192.0.2.1', trsvcid: '4420' }, options: {} } as unknown as NvmeTarget;
const namespaces = [{ nsid: NSID } as NamespaceInfo];
const state = (ana: number | null) => ({
  ...{ cntlid: 1, target, namespaces },
  ana: new Map(ana === null ? [] : [[NSID, ana]]),
});

let told: ControllerMessage[];
let late: number[];
const enter = (fast_io_fail_timeout_sec = 0): ControllerEntry => {
  const broadcast = async (_service: string, _method: string, message: unknown) => {
    told.push(message as ControllerMessage);
    return [];
  };
  const host = { reactors: [{ index: 0, lcore: 0 }], broadcast } as unknown as ReactorHost;
  const attachment: Attachment = {
    call: { name: 'N', trtype: 'TCP', traddr: '192.0.2.1' },
    options: { ...defaultOptions, fast_io_fail_timeout_sec },
    target,
    saved: true,
  };
  const info = { ...state(null), anatt: ANATT_S, retry_delays_ms: [0] } as unknown as AttachedController;
  return new ControllerEntry(host, 1, attachment, info, (nsid) => late.push(nsid));
};

beforeEach(() => {
  vi.useFakeTimers();
  told = [];
  late = [];
});
afterEach(() => {
  vi.useRealTimers();
});

it('says how a path may be used from the ANA state of its namespace', () => {
  const entry = enter();
  const wanted: [number | null, number][] = [
    [null, PathAccess.OPTIMIZED],
    [anaState.optimized, PathAccess.OPTIMIZED],
    [anaState.nonOptimized, PathAccess.NON_OPTIMIZED],
    [anaState.inaccessible, PathAccess.WAIT],
    [anaState.change, PathAccess.WAIT],
    [anaState.persistentLoss, PathAccess.LOST],
  ];
  for (const [ana, access] of wanted) {
    entry.take(state(ana));
    expect(entry.accessOf(NSID), String(ana)).toBe(access);
  }
});

it('waits for a change of state for ANATT, counted from its beginning', () => {
  const entry = enter();
  entry.take(state(anaState.change));
  vi.advanceTimersByTime(3000);
  entry.take(state(anaState.inaccessible));
  vi.advanceTimersByTime(999);
  expect([entry.accessOf(NSID), late]).toEqual([PathAccess.WAIT, []]);
  vi.advanceTimersByTime(1);
  expect([entry.accessOf(NSID), late]).toEqual([PathAccess.LOST, [NSID]]);
  // Told again, it is as late as before.
  entry.take(state(anaState.inaccessible));
  expect(entry.accessOf(NSID)).toBe(PathAccess.LOST);
  entry.take(state(anaState.optimized));
  expect(entry.accessOf(NSID)).toBe(PathAccess.OPTIMIZED);
  entry.take(state(anaState.inaccessible));
  expect(entry.accessOf(NSID)).toBe(PathAccess.WAIT);
  entry.take(state(anaState.nonOptimized));
  vi.advanceTimersByTime(60_000);
  expect([entry.accessOf(NSID), late]).toEqual([PathAccess.NON_OPTIMIZED, [NSID]]);
});

it('lets I/O wait for a lost controller for fast_io_fail_timeout_sec', () => {
  const entry = enter(5);
  const last = () => told.at(-1);
  entry.lost('gone');
  expect(last()).toMatchObject({ up: false, hope: true, epoch: 1 });
  vi.advanceTimersByTime(4999);
  expect(last()).toMatchObject({ up: false, hope: true });
  vi.advanceTimersByTime(1);
  expect(last()).toMatchObject({ up: false, hope: false });
  entry.foundAgain();
  expect(last()).toMatchObject({ up: true, hope: true, epoch: 2 });
  entry.lost('gone again');
  vi.advanceTimersByTime(1000);
  entry.foundAgain();
  const { length } = told;
  vi.advanceTimersByTime(60_000);
  expect(told).toHaveLength(length);
});
