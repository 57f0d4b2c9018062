import { nvmfReactorPlugin } from './plugin.ts';
import { tcpTransportType } from './tcp/index.ts';
import { vfioUserTransportType } from './vfio-user/transport-type.ts';

/** The target's entry on each reactor. */
export default nvmfReactorPlugin([tcpTransportType, vfioUserTransportType]);
