/** Finds out what there is to be tested at an address. */
import {
  DISCOVERY_ENTRY_SIZE,
  DISCOVERY_NQN,
  decodeDiscoveryLog,
  discoverySubtype,
  lid,
} from '@spdk-ts/nvme-spec';
import { RawHost } from '../host/index.ts';
import { dataOf, getLog } from './admin.ts';

/** Bytes of the discovery log page that are looked at: up to 63 records. */
const LOG_BYTES = 64 * DISCOVERY_ENTRY_SIZE;

/** The NQN of the first NVM subsystem in the discovery log page of an address. Throws if there is none. */
export async function firstSubsystem(host: string, port: number, hostnqn: string): Promise<string> {
  const connected = await RawHost.connect({ host, port, subnqn: DISCOVERY_NQN, hostnqn });
  try {
    const page = await dataOf('Discovery log page', getLog(connected.admin, lid.discovery, LOG_BYTES));
    const { entries } = decodeDiscoveryLog(page);
    const found = entries.find(({ subtype }) => subtype === discoverySubtype.nvm);
    if (found === undefined) throw new Error(`${host}:${port} names no NVM subsystem: give --subnqn`);
    return found.subnqn;
  } finally {
    connected.close();
  }
}
