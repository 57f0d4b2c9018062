import { adminOpcode } from '@spdk-ts/nvme-spec';
import { handOn } from './admin-passthru.ts';
import type { AdminSession } from './admin-session.ts';
import { identify } from './identify.ts';
import { getLogPage } from './log-pages.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';

const FUSE = 0x300;
const PSDT = 0xc000;

/** Commands of an enabled controller's admin queue, Fabrics commands aside (Base 2.0, 5). */
export function executeAdmin(session: AdminSession, request: NvmfRequest): void {
  const { group, features, events, keepAlive, aborts } = session;
  if ((request.cdw(0) & FUSE) !== 0 || (request.cdw(0) & PSDT) === PSDT) {
    group.complete(request, Status.INVALID_FIELD);
    return;
  }
  if (group.target.admin_passthru !== 0 && handOn(session, request)) return;
  switch (request.opcode) {
    case adminOpcode.identify:
      identify(session, request);
      break;
    case adminOpcode.getLogPage:
      getLogPage(session, request);
      break;
    case adminOpcode.getFeatures:
      features.get(request);
      break;
    case adminOpcode.setFeatures:
      features.set(request);
      break;
    case adminOpcode.asyncEventRequest:
      events.request(request);
      break;
    case adminOpcode.keepAlive:
      keepAlive.command(request);
      break;
    case adminOpcode.abort:
      if (session.controller.subsystem.discovery) group.complete(request, Status.INVALID_OPCODE);
      else aborts.command(request);
      break;
    default:
      group.complete(request, Status.INVALID_OPCODE);
  }
}
