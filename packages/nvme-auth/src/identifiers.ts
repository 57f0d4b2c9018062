/** What is known of algorithms and identities without any cryptography: a target loads this with itself. */
export * from './algorithms.ts';
export * from './psk-identity.ts';
