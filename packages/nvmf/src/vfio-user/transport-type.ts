import type { NvmfTransportType } from '../transport.ts';

export const TRTYPE = 'VFIOUSER';

/** NVMe over vfio-user, which is loaded when the first transport is made. */
export const vfioUserTransportType: NvmfTransportType = {
  trtype: TRTYPE,
  async create(group, options) {
    const { VfioUserTransport } = await import('./vfio-user-transport.ts');
    return new VfioUserTransport(group, options);
  },
};
