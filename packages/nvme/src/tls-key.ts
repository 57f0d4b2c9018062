import type { TlsKey } from '@spdk-ts/sock/tls';
import { NvmeError } from './errors.ts';
import type { NvmeTarget } from './node-identity.ts';

/**
 * The key of a target's connections, and its identity (TCP Transport 1.1, 3.6.1.3): the configured PSK makes the retained one
 * of this host, that the one of this host and subsystem. Null where there is no `psk`. Rejects with an {@link NvmeError}:
 * EINVAL for a key that is none, EUNSUPPORTED for one that TLS cannot be spoken with here.
 */
export async function tlsKeyOf({ trid, options }: NvmeTarget): Promise<TlsKey | null> {
  const { psk, psk_version, hostnqn } = options;
  if (psk === '') return null;
  // Much code, which few need.
  const { parseInterchangePsk, pskHash, pskHashOf, retainedPsk, tlsPsk } = await import('@spdk-ts/nvme-auth');
  try {
    const retained = retainedPsk(parseInterchangePsk(psk.trim()), hostnqn);
    if (pskHashOf(retained) !== pskHash.sha256)
      throw new NvmeError(
        'EUNSUPPORTED',
        'psk is a key of SHA-384: the TLS of Node.js takes pre-shared keys with TLS_AES_128_GCM_SHA256 only; give one of 32 bytes',
      );
    return tlsPsk(psk_version, retained, hostnqn, trid.subnqn);
  } catch (error) {
    if (error instanceof NvmeError) throw error;
    throw new NvmeError('EINVAL', `psk: ${(error as Error).message}`);
  }
}
