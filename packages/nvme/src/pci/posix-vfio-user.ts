import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { NvmeTarget } from '../node-identity.ts';
import type { NvmePollGroup } from '../poll-group.ts';
import { PciLink } from './pci-link.ts';
import { VfioUserFunction } from './vfio-function.ts';

/** The socket in a directory of a VFIOUSER listener. */
const SOCKET = 'cntrl';

/** Highest queue id: what one page of shadow doorbells has room for. */
const QUEUES_MAX = 511;

/** The socket that a `traddr` means: `cntrl` in that directory, or the socket itself. */
function socketPath(traddr: string): string {
  try {
    return statSync(traddr).isSocket() ? traddr : join(traddr, SOCKET);
  } catch {
    return join(traddr, SOCKET); // whoever connects is told what is wrong
  }
}

/** The link of a controller behind a vfio-user socket. Throws an {@link NvmeError} without the addon. */
export function vfioUserLink(group: NvmePollGroup, { trid, options }: NvmeTarget): PciLink {
  return new PciLink(group, {
    name: trid.traddr,
    open: (signal) => {
      const { connect_timeout_ms: timeout_ms, interrupts } = options;
      return VfioUserFunction.open(group, socketPath(trid.traddr), { timeout_ms, interrupts }, signal);
    },
    doorbells: options.doorbells,
    interrupts: options.interrupts,
    admin_entries: options.admin_queue_size,
    queues: Math.min(options.num_io_queues, QUEUES_MAX),
    timeout_ms: options.connect_timeout_ms,
  });
}
