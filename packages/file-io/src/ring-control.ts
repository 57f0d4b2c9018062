import type { ReactorHost } from '@spdk-ts/reactor';

/** Why a reactor has no io_uring; empty if all have one. */
export async function ringUnavailable(host: ReactorHost): Promise<string> {
  const reasons = (await host.broadcast('reactor', 'uringUnavailable')) as string[];
  return reasons.find((reason) => reason !== '') ?? '';
}
