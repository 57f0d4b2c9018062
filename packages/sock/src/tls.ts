/** TLS over sockets of node:net. Apart from the rest, so that node:tls is loaded only where it is used. */
export { connectTls, type PskLookup, TlsHandshakes, type TlsKey } from './posix-tls.ts';
