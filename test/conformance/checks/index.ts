import type { Check } from '../check.ts';
import { featureChecks } from './admin-features.ts';
import { identifyChecks } from './admin-identify.ts';
import { logChecks } from './admin-logs.ts';
import { adminChecks } from './admin-misc.ts';
import { anaChecks } from './ana.ts';
import { discoveryChecks } from './discovery.ts';
import { connectChecks } from './fabrics-connect.ts';
import { disconnectChecks } from './fabrics-disconnect.ts';
import { propertyChecks } from './fabrics-property.ts';
import { copyFusedChecks } from './io-copy-fused.ts';
import { otherChecks } from './io-other.ts';
import { rangeChecks } from './io-range.ts';
import { sglChecks } from './io-sgl.ts';
import { keepAliveChecks } from './keep-alive.ts';
import { kvChecks } from './kv.ts';
import { pciDataChecks } from './pci-data.ts';
import { pciDoorbellChecks } from './pci-doorbells.ts';
import { pciQueueChecks } from './pci-queues.ts';
import { pciRegisterChecks } from './pci-registers.ts';
import { dataChecks } from './pdu-data.ts';
import { digestChecks } from './pdu-digest.ts';
import { headerChecks } from './pdu-header.ts';
import { icChecks } from './pdu-ic.ts';
import { vectorChecks } from './pdu-vectors.ts';
import { reservationChecks } from './reservations.ts';
import { sequenceChecks } from './sequences.ts';
import { znsChecks } from './zns.ts';

/** The checks of each area, in the order in which they run. */
export const areas: readonly { readonly name: string; readonly checks: readonly Check[] }[] = [
  { name: 'PDUs: handshake', checks: icChecks },
  { name: 'PDUs: headers', checks: headerChecks },
  { name: 'PDUs: digests', checks: digestChecks },
  { name: 'PDUs: data', checks: dataChecks },
  { name: 'PDUs: known answers', checks: vectorChecks },
  { name: 'Fabrics: Connect', checks: connectChecks },
  { name: 'Fabrics: properties', checks: propertyChecks },
  { name: 'Fabrics: Disconnect', checks: disconnectChecks },
  { name: 'Admin: Identify', checks: identifyChecks },
  { name: 'Admin: features', checks: featureChecks },
  { name: 'Admin: log pages', checks: logChecks },
  { name: 'Admin: events, Abort, opcodes', checks: adminChecks },
  { name: 'I/O: ranges', checks: rangeChecks },
  { name: 'I/O: SGLs', checks: sglChecks },
  { name: 'I/O: Flush, Dataset Management, FUSE', checks: otherChecks },
  { name: 'I/O: Copy, fused', checks: copyFusedChecks },
  { name: 'Zoned namespaces', checks: znsChecks },
  { name: 'Key-value namespaces', checks: kvChecks },
  { name: 'Reservations', checks: reservationChecks },
  { name: 'ANA', checks: anaChecks },
  { name: 'Sequences', checks: sequenceChecks },
  { name: 'Discovery', checks: discoveryChecks },
  { name: 'Keep alive', checks: keepAliveChecks },
  { name: 'PCI: registers, resets', checks: pciRegisterChecks },
  { name: 'PCI: doorbells', checks: pciDoorbellChecks },
  { name: 'PCI: queues', checks: pciQueueChecks },
  { name: 'PCI: PRPs, SGLs', checks: pciDataChecks },
];
