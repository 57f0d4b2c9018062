/**
 * The cryptography that hosts and controllers prove themselves to each other with: DH-HMAC-CHAP (Base 2.0, 8.13.5) and the
 * pre-shared keys of NVMe/TCP over TLS (TCP Transport 1.1, 3.6.1). Messages are in nvme-spec; no behaviour of either
 * side is here. The numbers and names alone are `@spdk-ts/nvme-auth/identifiers`.
 */
export * from './dh-pool.ts';
export * from './dhchap-response.ts';
export * from './dhchap-secret.ts';
export { type DhKeyPair, generateDhKeys, groupPrime, sharedDhSecret } from './ffdhe.ts';
export * from './identifiers.ts';
export type { WrittenKey } from './secret-text.ts';
export * from './tls-psk.ts';
