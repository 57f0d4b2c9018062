/** Rings far too small for what goes through them: completions overflow, and nothing may be lost or told twice. */
import { native } from '@spdk-ts/native';
import { pduFlag } from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Load } from '../host/index.ts';
import { TcpTarget } from './nvmf-tcp-target.ts';

const seed = Number(process.env['LOAD_SEED'] ?? Math.floor(Math.random() * 2 ** 32));

describe.skipIf(native === null)('a ring of 8 entries and 16 completions', () => {
  let target: TcpTarget;
  beforeAll(async () => {
    console.log(`LOAD_SEED=${seed}`);
    const args = ['--uring-entries', '8', '--uring-cq-entries', '16'];
    target = await TcpTarget.start({}, undefined, { args });
  });
  afterAll(() => target?.stop());

  it('carries a hundred connections, and every byte is right', async () => {
    const [plain, digested] = await Promise.all([
      target.host(60),
      target.host(40, { digests: pduFlag.hdgst | pduFlag.ddgst }),
    ]);
    const load = new Load([...plain!.queues, ...digested!.queues], { depth: 8, bytes_max: 16_384, seed });
    load.start();
    await load.until(() => load.verifiedOf.every((count) => count >= 20));
    await load.stop();
    // All at once go, and as many come.
    plain!.close();
    digested!.close();
    const next = await Promise.all(Array.from({ length: 30 }, () => target.host(2)));
    for (const host of next) host.close();
    await target.expectService();
    expect(target.target.output).not.toMatch(/ERROR|failed/);
  });
});
