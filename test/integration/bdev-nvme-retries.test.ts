/** What an nvme bdev does with commands that its controller wants to have again: at once, later, a few times, or not. */
import { connect } from '@spdk-ts/nvme';
import {
  adminOpcode,
  cns,
  genericStatus,
  identifyController,
  nvmOpcode,
  STATUS_CRD_SHIFT,
  status,
  statusType,
  viewOf,
} from '@spdk-ts/nvme-spec';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort, Target } from '../linux-guest/target.ts';
import { blockOf, SCRIPT_NQN, ScriptTarget } from '../nvme-host/script-target.ts';

const NQN = 'nqn.2026-11.io.spdk-ts:retries';
/** CRDT1 to CRDT3, units of 100 ms. */
const DELAYS = [3, 6, 0] as const;
const RETRIES = 2;
const FAILED = status(statusType.generic, genericStatus.internalError);
const FINAL = status(statusType.generic, genericStatus.internalError, true);

let device: ScriptTarget;
let target: Target;
let port: number;
/** Statuses of the reads to come, and when each came. */
let answers: number[] = [];
let times: number[] = [];

beforeAll(async () => {
  device = await ScriptTarget.start();
  device.script = {
    answer({ qid, opcode, sqe }) {
      if (qid === 0 && opcode === adminOpcode.identify && sqe[40] === cns.controller) {
        const data = new Uint8Array(4096);
        const [crdt1, crdt2, crdt3] = DELAYS;
        identifyController.encode(
          {
            ...{ mdts: 5, kas: 1, cntlid: 1, ioccsz: 4 + 64, nn: 1, subnqn: SCRIPT_NQN },
            crdt1,
            crdt2,
            crdt3,
          },
          data,
        );
        return { data };
      }
      if (qid === 0 || opcode !== nvmOpcode.read || viewOf(sqe).getUint32(40, true) !== 7) return null;
      times.push(performance.now());
      const wanted = answers.shift();
      return wanted === undefined || wanted === 0 ? null : { status: wanted };
    },
  };
  port = await freePort();
  target = await Target.start();
  await target.rpc('bdev_nvme_set_options', { bdev_retry_count: RETRIES });
  await target.rpc('bdev_nvme_attach_controller', {
    ...{ name: 'Nvme0', trtype: 'TCP', traddr: '127.0.0.1', trsvcid: String(device.port) },
    subnqn: SCRIPT_NQN,
  });
  await target.export(NQN, ['Nvme0n1'], port);
});
afterAll(async () => {
  await target?.stop();
  await target?.dispose();
  await device?.stop();
});

async function read(...statuses: number[]): Promise<{ data: Uint8Array | null; delays: number[] }> {
  answers = statuses;
  times = [];
  await using connection = await connect(`trtype:TCP traddr:127.0.0.1 trsvcid:${port} subnqn:${NQN}`);
  const data = await connection
    .namespace(1)
    .read(7, 1)
    .catch(() => null);
  return { data, delays: times.slice(1).map((time, i) => time - times[i]!) };
}
const after = (crd: number): number => FAILED | (crd << STATUS_CRD_SHIFT);

it('a command comes again no sooner than the delay that its status names', async () => {
  const { data, delays } = await read(after(1), after(2));
  expect(data).toEqual(blockOf(7));
  expect(delays.length).toBe(2);
  // The controller counts in units of 100 ms.
  for (const [i, delay] of delays.entries())
    expect(delay, `delay ${i}`).toBeGreaterThanOrEqual(DELAYS[i]! * 100);
});

it('a delay of 0, or none, keeps nothing waiting for good', async () => {
  const { data, delays } = await read(after(3), after(0));
  expect(data).toEqual(blockOf(7));
  expect(delays.length).toBe(2);
});

it('what goes on failing ends after bdev_retry_count more tries, and what may not come again after none', async () => {
  expect(await read(FAILED, FAILED, FAILED, FAILED)).toMatchObject({ data: null });
  expect(times.length).toBe(1 + RETRIES);
  expect(await read(FINAL)).toMatchObject({ data: null });
  expect(times.length).toBe(1);
});
