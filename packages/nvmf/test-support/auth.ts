import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatDhchapSecret, groupPrime } from '@spdk-ts/nvme-auth';
import { authReceive, authSend } from '@spdk-ts/nvme-spec';
import {
  type AuthExchange,
  authenticate,
  type DhchapOptions,
  type DhchapResult,
} from '../../../test/host/dhchap.ts';
import { type Completion, type FakeQpair, HOST } from './fake-transport.ts';
import { type Harness, SUBSYSTEM } from './harness.ts';

export const secretOf = (byte: number, hash = 0): string =>
  formatDhchapSecret({ hash, key: new Uint8Array(32).fill(byte) });

/** Files with keys, in a folder of the test's own. */
export class KeyFiles {
  private readonly folder = mkdtempSync(join(tmpdir(), 'nvmf-keys-'));

  write(name: string, content: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    chmodSync(path, 0o600);
    return path;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** The completion of a command that another thread takes part in. */
export async function completed(harness: Harness, qpair: FakeQpair, cid: number): Promise<Completion> {
  const end = performance.now() + 60_000;
  while (performance.now() < end) {
    const found = qpair.take(cid);
    if (found !== undefined) return found;
    await harness.turns(2);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw new Error(`command ${cid} does not complete`);
}

/** Authentication commands on a queue of the test. */
export function exchangeOn(harness: Harness, qpair: FakeQpair): AuthExchange {
  return {
    send: (message) =>
      completed(harness, qpair, qpair.send(authSend(message.length), { data: new Uint8Array(message) })),
    receive: (length) => completed(harness, qpair, qpair.send(authReceive(length), { length })),
  };
}

/** Authenticates a queue of the test's host. */
export function authenticateQueue(
  harness: Harness,
  qpair: FakeQpair,
  options: Partial<DhchapOptions> & { secret: string },
): Promise<DhchapResult> {
  const names = { hostnqn: HOST, subnqn: SUBSYSTEM };
  return authenticate(exchangeOn(harness, qpair), { ...names, ...options }, groupPrime);
}
