/** Holds our target to the specifications over vfio-user: the same checks, and those that only PCI functions have. */
import { native } from '@spdk-ts/native';
import { describe } from 'vitest';
import { startOwnPci } from './own-target.ts';
import { holdToSpecifications } from './suite.ts';

describe.skipIf(native === null)('over vfio-user (it needs the addon)', () => {
  holdToSpecifications(startOwnPci);
});
