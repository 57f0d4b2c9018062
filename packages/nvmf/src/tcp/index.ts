export { defaultTcpTimeouts, type TcpTimeouts } from './limits.ts';
export { TcpQpair, TcpState } from './tcp-qpair.ts';
export {
  createTcpTransportType,
  type SockGroupFactory,
  TcpTransport,
  tcpTransportType,
} from './tcp-transport.ts';
