export { hostOf } from './endpoint.ts';
export { VfioUserTransport, vfioUserTransportType } from './vfio-user-transport.ts';
