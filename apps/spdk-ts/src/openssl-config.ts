import { fileURLToPath } from 'node:url';
import { native } from '@spdk-ts/native';

const ours = fileURLToPath(new URL('../bin/tls.cnf', import.meta.url));

/**
 * Has the process' TLS send no session tickets (bin/tls.cnf says why), unless who started it gave OpenSSL a configuration.
 * Where it cannot be done the target says so when it begins to listen over TLS, as OPENSSL_CONF is not set then.
 */
export function configureOpenssl(): void {
  const { env, execArgv } = process;
  const options = [env['NODE_OPTIONS'] ?? '', ...execArgv].join(' ');
  if (env['OPENSSL_CONF'] !== undefined || options.includes('--openssl-config') || native === null) return;
  try {
    native.loadOpensslConfig(ours);
  } catch {
    return;
  }
  env['OPENSSL_CONF'] = ours;
}
