import { anaLogSize, anaState, encodeAnaLog } from '@spdk-ts/nvme-spec';
import type { NvmfController } from './controller.ts';

/** ANA states that a listener can give a group; RPCs call them so. */
export type AnaState = 'optimized' | 'non_optimized' | 'inaccessible';

const codes: Readonly<Record<AnaState, number>> = {
  optimized: anaState.optimized,
  non_optimized: anaState.nonOptimized,
  inaccessible: anaState.inaccessible,
};

/** Seconds that a change of state takes at most (ANATT), as hosts are told. */
export const ANA_TRANSITION_SECONDS = 10;

/** The states that one listener gives the ANA groups: the truth, on the control thread. */
export interface AnaStates {
  /** Of groups that are not listed. */
  readonly others: AnaState;
  readonly groups: ReadonlyMap<number, AnaState>;
}

export function anaStateOf({ others, groups }: AnaStates, anagrpid: number): AnaState {
  return groups.get(anagrpid) ?? others;
}

/** The states with those of one group, or (0) of all, changed: the same object, if they are that already. */
export function withAnaState(states: AnaStates, state: AnaState, anagrpid: number): AnaStates {
  if (anagrpid === 0)
    return states.others === state && states.groups.size === 0
      ? states
      : { others: state, groups: new Map() };
  if (anaStateOf(states, anagrpid) === state) return states;
  return { ...states, groups: new Map(states.groups).set(anagrpid, state) };
}

/** What the reactors are told of a listener: its states as the log page has them. */
export interface AnaListener {
  readonly id: number;
  readonly others: number;
  readonly groups: ReadonlyMap<number, number>;
}

export function anaListener(id: number, { others, groups }: AnaStates): AnaListener {
  return {
    ...{ id, others: codes[others] },
    groups: new Map([...groups].map(([anagrpid, state]) => [anagrpid, codes[state]])),
  };
}

/** The state of a group through a listener; through one that the reactor does not know (yet), nothing is accessible. */
export function anaCode(listeners: readonly AnaListener[], id: number, anagrpid: number): number {
  const listener = listeners.find((other) => other.id === id);
  return listener === undefined ? anaState.inaccessible : (listener.groups.get(anagrpid) ?? listener.others);
}

/** The Asymmetric Namespace Access log page (Base 2.0, 5.16.1.13) as a controller reports it. */
export function anaLog(controller: NvmfController, groupsOnly: boolean): Uint8Array {
  const { subsystem, listener } = controller;
  const { ana, ana_chgcnt: chgcnt } = subsystem.snapshot;
  const members = new Map<number, number[]>();
  for (const nsid of controller.nsids) {
    const { anagrpid } = subsystem.find(nsid)!.snapshot;
    const nsids = members.get(anagrpid);
    if (nsids === undefined) members.set(anagrpid, [nsid]);
    else nsids.push(nsid);
  }
  const groups = [...members]
    .sort(([a], [b]) => a - b)
    .map(([anagrpid, nsids]) => ({ anagrpid, chgcnt, state: anaCode(ana ?? [], listener, anagrpid), nsids }));
  const out = new Uint8Array(anaLogSize(groups, groupsOnly));
  encodeAnaLog({ chgcnt, groups }, out, groupsOnly);
  return out;
}
