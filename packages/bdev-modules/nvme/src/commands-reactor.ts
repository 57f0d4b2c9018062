import {
  type CommandData,
  type CommandFault,
  CommandFaults,
  type CommandFields,
  Commands,
  type Completion,
  type NvmeController,
  NvmePollGroup,
  type TransportStatistics,
} from '@spdk-ts/nvme';
import type { Reactor } from '@spdk-ts/reactor';
import type { ReactorPath } from './path.ts';

/** Sends a command on the admin queue, or on an I/O queue that is opened for it. */
export async function sendCommand(
  controller: NvmeController,
  io: boolean,
  fields: CommandFields,
  data: CommandData,
): Promise<Completion> {
  if (!io) return await controller.admin.run(fields, data);
  const qpair = await controller.openIoQueue();
  try {
    return await new Commands(qpair).run(fields, data);
  } finally {
    controller.closeIoQueue(qpair);
  }
}

/** Injects errors into commands of a controller's admin queue. */
export function injectAdmin(controller: NvmeController, fault: CommandFault): void {
  const { qpair } = controller.admin;
  qpair.faults ??= new CommandFaults();
  qpair.faults.add(fault);
}

/** The same for a reactor's I/O queue: it need not be open yet. */
export function injectIo(path: ReactorPath, fault: CommandFault): void {
  path.faults ??= new CommandFaults();
  path.faults.add(fault);
}

/** The transport statistics of a reactor, or null if it has no NVMe connections. */
export function transportStatistics(
  reactor: Reactor,
): { thread: string; statistics: TransportStatistics } | null {
  const group = NvmePollGroup.find(reactor);
  return group === undefined ? null : { thread: group.thread.name, statistics: group.statistics() };
}
