import { NvmeError } from '../errors.ts';

/** What the alerts of a peer mean, by OpenSSL's names: a wrong binder is an illegal parameter or a decrypt error. */
const meanings: readonly (readonly [alert: RegExp, meaning: string])[] = [
  [/illegal parameter|decrypt error|bad record mac/, 'the controller has another key of this identity'],
  [/unknown psk identity|handshake failure|access denied/, 'the controller has no key of this identity'],
];
const elsewise =
  'the listener may be one without TLS, or the controller may have no key, or another one, for this host and subsystem';

/**
 * Why a TLS handshake has failed, in words: `why` is what the socket says. ECONNECT where there was no connection at all, EAUTH where
 * the sides do not believe each other, or the peer does not speak TLS.
 */
export function handshakeError(where: string, identity: string, why: string): NvmeError {
  if (/^connect |ECONNREFUSED|EHOSTUNREACH|ENETUNREACH/.test(why))
    return new NvmeError('ECONNECT', `${where}: ${why}`);
  const reason = /:SSL routines:[^:]*:([^:]+)/.exec(why)?.[1]?.replace(/^(?:ssl|tls)v\d+ /, '') ?? why;
  const name = `${where}: TLS with PSK identity "${identity}"`;
  if (reason === 'wrong version number' || reason === 'packet length too long')
    return new NvmeError('EAUTH', `${name}: the peer answers with something else than TLS`);
  const meaning = meanings.find(([alert]) => alert.test(reason))?.[1] ?? elsewise;
  return new NvmeError('EAUTH', `${name} is refused (${reason}): ${meaning}`);
}
