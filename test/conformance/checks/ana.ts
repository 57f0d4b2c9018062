/** Asymmetric namespace access (Base 2.0, 8.1), where the controller reports it. */
import {
  ANA_LSP_RGO,
  anaState,
  cns,
  csi,
  decodeAnaLog,
  identifyNamespaceIndependent,
  lid,
} from '@spdk-ts/nvme-spec';
import { dataOf, getLog, identify } from '../admin.ts';
import type { Bench } from '../bench.ts';
import { all, type Check, check, holds, type Outcome, of, type Row, type Unless } from '../check.ts';
import { path } from '../codes.ts';
import type { NamespaceFacts } from '../facts.ts';
import { ranged } from '../io.ts';

const needs: Unless = ({ controller }) =>
  controller.cmic & 8 ? '' : 'there is no ANA reporting (CMIC bit 3)';
const row = (id: string, title: string): Row => ({
  id: `ana.${id}`,
  section: 'Base 2.0, 8.1; 5.16.1.13',
  title,
  unless: needs,
});
const BYTES = 16_384;
const groupsOf = async (bench: Bench, lsp = 0) =>
  decodeAnaLog(await dataOf('ANA', getLog(await bench.admin(), lid.ana, BYTES, { lsp }))).groups;

/** The group that Identify tells: the data structure of CNS 00h is one of namespaces with blocks (NVM Command Set 1.0, 4.1.5.1). */
async function groupOf(bench: Bench, { nsid, set, data }: NamespaceFacts): Promise<number> {
  if (set !== csi.keyValue) return data.anagrpid;
  const told = identify(await bench.admin(), cns.independentNamespace, { nsid });
  return identifyNamespaceIndependent.decode(await dataOf('Identify', told)).anagrpid;
}

export const anaChecks: readonly Check[] = [
  check(
    row('fields', 'ANATT, ANAGRPMAX and NANAGRPID'),
    'not 0, and NANAGRPID up to ANAGRPMAX',
    ({ facts: { controller } }) => {
      const { anatt, anagrpmax, nanagrpid } = controller;
      return all(
        of('ANATT', holds(anatt > 0, `${anatt} s`)),
        of('ANAGRPMAX', holds(anagrpmax > 0, String(anagrpmax))),
        of('NANAGRPID', holds(nanagrpid > 0 && nanagrpid <= anagrpmax, String(nanagrpid))),
      );
    },
  ),
  check(
    row('groups', 'The ANA log page'),
    'every namespace in one group, that of its Identify Namespace; states that are defined',
    async (bench) => {
      const groups = await groupsOf(bench);
      const outcomes: Outcome[] = [];
      for (const ns of bench.facts.namespaces) {
        const its = groups.filter(({ nsids }) => nsids.includes(ns.nsid)).map(({ anagrpid }) => anagrpid);
        const own = await groupOf(bench, ns);
        const seen = `groups ${its.join(', ')}, ANAGRPID ${own}`;
        outcomes.push(of(`NSID ${ns.nsid}`, holds(its.length === 1 && its[0] === own, seen)));
      }
      const states = groups.every(({ state }) => (Object.values(anaState) as number[]).includes(state));
      return all(...outcomes, holds(states, `states ${groups.map(({ state }) => state).join(', ')}`));
    },
  ),
  check(
    row('groups-only', 'The ANA log page with Return Groups Only'),
    'the same groups, without NSIDs',
    async (bench) => {
      const groups = await groupsOf(bench);
      const only = await groupsOf(bench, ANA_LSP_RGO);
      const same =
        only.map(({ anagrpid }) => anagrpid).join() === groups.map(({ anagrpid }) => anagrpid).join();
      return holds(same && only.every(({ nsids }) => nsids.length === 0), `${only.length} groups`);
    },
  ),
  check(
    row('read', 'A read in each state'),
    'success where the state is optimized or not optimized, else a path related status',
    async (bench) => {
      const groups = await groupsOf(bench);
      const { nsid } = bench.facts.ns;
      const state = groups.find(({ nsids }) => nsids.includes(nsid))?.state ?? 0;
      const done = await ranged.read(await bench.io(), bench);
      const usable = state === anaState.optimized || state === anaState.nonOptimized;
      const codes: number[] = usable
        ? [0]
        : [path.anaInaccessible, path.anaPersistentLoss, path.anaTransition];
      return holds(
        codes.includes(done.status & 0x7ff),
        `state ${state}, status ${done.status.toString(16)}h`,
      );
    },
  ),
];
