/** I/O queues of a PCI controller, by its Admin commands (Base 2.0, 5.4 to 5.7). */
import { adminOpcode, commandStatus, statusCode, status as statusOf, statusType } from '@spdk-ts/nvme-spec';
import type { Commands } from '../commands.ts';
import { describeStatus, NvmeError } from '../errors.ts';
import type { PciFunction } from './function.ts';
import { QueueState, type SharedState } from './shared-state.ts';

/** Bits of Create I/O Queue commands. */
const PHYSICALLY_CONTIGUOUS = 1;
const INTERRUPTS_ENABLED = 2;
const NO_SUCH_QUEUE = statusOf(statusType.commandSpecific, commandStatus.invalidQueueIdentifier);

/** Creates the completion queue and the submission queue that are wanted, and answers who wants them. */
export async function createQueue(
  fn: PciFunction,
  commands: Commands,
  shared: SharedState,
  qid: number,
): Promise<void> {
  const { entries, sq_address, cq_address, eventfd } = shared.wantedQueue(qid);
  const size = ((entries - 1) << 16) >>> 0;
  const flags =
    eventfd < 0 ? PHYSICALLY_CONTIGUOUS : PHYSICALLY_CONTIGUOUS | INTERRUPTS_ENABLED | (qid << 16);
  if (eventfd >= 0) await fn.setInterrupt(qid, eventfd);
  const cq = await commands.run(
    { opcode: adminOpcode.createIoCq, cdw10: (qid | size) >>> 0, cdw11: flags >>> 0, prp1: cq_address },
    { what: 'Create I/O Completion Queue' },
  );
  if (cq.status !== 0) {
    shared.answerQueue(qid, QueueState.REFUSED, cq.status);
    return;
  }
  const sq = await commands.run(
    {
      ...{ opcode: adminOpcode.createIoSq, cdw10: (qid | size) >>> 0, prp1: sq_address },
      cdw11: (PHYSICALLY_CONTIGUOUS | (qid << 16)) >>> 0,
    },
    { what: 'Create I/O Submission Queue' },
  );
  if (sq.status !== 0) await commands.run({ opcode: adminOpcode.deleteIoCq, cdw10: qid });
  shared.answerQueue(qid, sq.status === 0 ? QueueState.OPEN : QueueState.REFUSED, sq.status);
}

/**
 * Deletes both: the controller is done with their memory. Rejects with an {@link NvmeError} if it does not; `name`: of the controller, for
 * its message.
 */
export async function deleteQueue(
  commands: Commands,
  shared: SharedState,
  qid: number,
  name: string,
): Promise<void> {
  for (const [opcode, what] of [
    [adminOpcode.deleteIoSq, 'Delete I/O Submission Queue'],
    [adminOpcode.deleteIoCq, 'Delete I/O Completion Queue'],
  ] as const) {
    const { status } = await commands.run({ opcode, cdw10: qid }, { what });
    if (status !== 0 && statusCode(status) !== NO_SUCH_QUEUE)
      throw new NvmeError('ESTATUS', `${name}: ${what} ${qid} failed: ${describeStatus(status)}`, status);
  }
  shared.setQueueState(qid, QueueState.NONE);
}
