import type { NvmfController } from './controller.ts';
import { Gate, refusalOf } from './gates.ts';
import type { IoCommands } from './io-commands.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

/*
 * Commands at namespaces that are not simply open to their host. True means that the command goes no further, for now or
 * at all.
 */

/** A command at one namespace, whose gate is not 0. */
export function stopsAtGate(commands: IoCommands, request: NvmfRequest, controller: NvmfController): boolean {
  const gate = controller.gates[request.nsid]!;
  if ((gate & Gate.PAUSED) !== 0 && (gate & Gate.HIDDEN) === 0) {
    commands.waitForChange(request, controller);
    return true;
  }
  return refuses(commands, request, refusalOf(gate, request.opcode));
}

/** A command at all namespaces: it waits for each that is being changed, and one that refuses it is enough. */
export function stopsAtAnyGate(
  commands: IoCommands,
  request: NvmfRequest,
  controller: NvmfController,
): boolean {
  const gates = controller.nsids.map((nsid) => controller.gates[nsid]!);
  if (gates.some((gate) => (gate & Gate.PAUSED) !== 0)) {
    commands.waitForChange(request, controller);
    return true;
  }
  const statuses = gates.map((gate) => refusalOf(gate, request.opcode));
  return refuses(commands, request, statuses.find((status) => status !== Status.SUCCESS) ?? Status.SUCCESS);
}

function refuses(commands: IoCommands, request: NvmfRequest, status: number): boolean {
  if (status !== Status.SUCCESS) commands.end(request, status);
  return status !== Status.SUCCESS;
}
