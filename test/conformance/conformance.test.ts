/**
 * Holds an NVMe/TCP target, or a PCI function behind a vfio-user socket, to the specifications: ours, over TCP, or the one that
 * `npm run test:conformance -- --address` names. A foreign target's deviations are told, ours fail. See docs/conformance.md.
 */
import { DEFAULT_HOSTNQN } from '../host/index.ts';
import type { Address } from './bench.ts';
import { firstSubsystem } from './find-subsystem.ts';
import { given, parseAddress } from './options.ts';
import { type OwnTarget, startOwn } from './own-target.ts';
import { holdToSpecifications } from './suite.ts';

async function find(): Promise<OwnTarget | Address> {
  if (given.address === undefined) return startOwn();
  const at = parseAddress(given.address);
  if ('endpoints' in at) return at;
  const hostnqn = given.hostnqn ?? DEFAULT_HOSTNQN;
  const subnqn = given.subnqn ?? (await firstSubsystem(at.host, at.port, hostnqn));
  return { ...at, subnqn, hostnqn, closedSubnqn: given['closed-subnqn'] };
}

holdToSpecifications(find);
