import { Logger } from '@spdk-ts/log';
import { parsePskIdentity } from '@spdk-ts/nvme-auth/identifiers';
import {
  CNTLID_DYNAMIC,
  CNTLID_STATIC,
  connectInvalidParameter,
  connectOffset,
  decodeCc,
  decodeCsts,
  shn,
} from '@spdk-ts/nvme-spec';
import { connectDataOffset } from '../connect.ts';
import { ControllerState } from '../controller-state.ts';
import type { TransportAddress } from '../qpair.ts';
import type { ConnectAnswer, ConnectQuestion, QpairGone } from '../snapshot.ts';
import { Status } from '../status.ts';
import type { TransportOptions } from '../transport.ts';
import type { ControllerRecord, Subsystem } from './subsystem.ts';

const IOSQES = 6;
const IOCQES = 4;

/** What admission needs to know of the target. */
export interface AdmissionTarget {
  isStopping(): boolean;
  findSubsystem(nqn: string): Subsystem | undefined;
  transport(trtype: string): TransportOptions | undefined;
  /** There is room for one controller more than so many. */
  hasRoom(controllers: number): boolean;
  /** A host may have one controller through each listener only. */
  restrictsDuplicateHosts(): boolean;
  /** Ends what a controller still has on the reactors. */
  disconnect(controller: ControllerRecord, reason: string): void;
}

const refusal = (status: number, dw0: number, reason: string): ConnectAnswer => ({ status, dw0, reason });
const invalid = (offset: number, inData: boolean, reason: string): ConnectAnswer =>
  refusal(Status.CONNECT_INVALID, connectInvalidParameter(offset, inData), reason);

function addresses(q: ConnectQuestion): { listen: TransportAddress; peer: TransportAddress } {
  const { trtype } = q;
  return {
    listen: { trtype, adrfam: q.adrfam, traddr: q.traddr, trsvcid: q.trsvcid },
    peer: { trtype, adrfam: q.peer_adrfam, traddr: q.peer_traddr, trsvcid: q.peer_trsvcid },
  };
}

/** Why a host cannot ask for a controller by this CNTLID (Base 2.0, 6.3); null: it can. */
function unfitCntlid({ options, nqn }: Subsystem, cntlid: number): string | null {
  if (!options.static_controllers)
    return cntlid === CNTLID_DYNAMIC ? null : `CNTLID ${cntlid}: controllers are dynamic, FFFFh is expected`;
  const { min_cntlid, max_cntlid } = options;
  if (cntlid === CNTLID_STATIC || (cntlid >= min_cntlid && cntlid <= max_cntlid)) return null;
  return `CNTLID ${cntlid}: those of ${nqn} are static, ${min_cntlid} to ${max_cntlid}; FFFEh asks for any`;
}

/**
 * Who may connect, and as which controller (Base 2.0, 6.3): gives out CNTLIDs, and knows which reactor serves
 * which queue of every controller.
 */
export class Admission {
  private readonly target: AdmissionTarget;
  private readonly log = new Logger('nvmf');
  private readonly controllers = new Map<number, ControllerRecord>();
  private ids = 0;
  private warned = false;

  constructor(target: AdmissionTarget) {
    this.target = target;
  }

  connect(question: ConnectQuestion, reactor: number): ConnectAnswer {
    const { subnqn, hostnqn, qid, trtype } = question;
    const subsystem = this.target.findSubsystem(subnqn);
    const transport = this.target.transport(trtype);
    if (this.target.isStopping() || transport === undefined)
      return refusal(Status.CONTROLLER_BUSY, 0, 'the target is stopping');
    if (subsystem === undefined || subsystem.ending)
      return invalid(connectDataOffset.subnqn, true, `there is no subsystem ${subnqn}`);
    if (!subsystem.allows(hostnqn))
      return refusal(
        Status.CONNECT_INVALID_HOST,
        0,
        `Subsystem '${subnqn}' does not allow host '${hostnqn}'`,
      );
    if (!this.listenerAllowed(subsystem, question))
      return refusal(
        Status.CONNECT_INVALID_HOST,
        0,
        `Subsystem '${subnqn}' does not allow host '${hostnqn}' to connect at this address.`,
      );
    const unfit = this.unfitChannel(subsystem, question);
    if (unfit !== null) return refusal(Status.CONNECT_INVALID_HOST, 0, unfit);
    return qid === 0
      ? this.create(subsystem, transport, question, reactor)
      : this.join(subsystem, question, reactor);
  }

  private listenerAllowed(subsystem: Subsystem, question: ConnectQuestion): boolean {
    if (subsystem.listener(addresses(question).listen) !== undefined) return true;
    if (subsystem.subtype !== 'Discovery') return false;
    if (!this.warned) {
      this.warned = true;
      this.log.notice(
        `discovery connections are accepted at ${question.traddr}:${question.trsvcid} although the discovery ` +
          'subsystem has no listener there; add one with nvmf_subsystem_add_listener',
      );
    }
    return true;
  }

  /** Why a connection's security is not what its listener, or its identity, asks for; null: it is. */
  private unfitChannel(subsystem: Subsystem, question: ConnectQuestion): string | null {
    const { subnqn, hostnqn, psk_identity } = question;
    const secure = subsystem.listener(addresses(question).listen)?.secure_channel ?? psk_identity !== null;
    if (psk_identity === null) return secure ? `subsystem '${subnqn}' is reached over TLS only there` : null;
    if (!secure) return `subsystem '${subnqn}' is not reached over TLS there`;
    const proven = parsePskIdentity(psk_identity);
    if (proven?.hostnqn === hostnqn && proven.subnqn === subnqn) return null;
    return `the connection's PSK identity is not of host '${hostnqn}' and subsystem '${subnqn}'`;
  }

  private create(
    subsystem: Subsystem,
    transport: TransportOptions,
    question: ConnectQuestion,
    reactor: number,
  ): ConnectAnswer {
    const wrong = unfitCntlid(subsystem, question.cntlid);
    if (wrong !== null) return invalid(connectDataOffset.cntlid, true, wrong);
    const { hostnqn, hostid } = question;
    const { listen } = addresses(question);
    if (this.target.restrictsDuplicateHosts())
      for (const other of subsystem.controllers.values()) {
        const through = other.qpairs.get(0)?.listen;
        if (
          other.hostnqn === hostnqn &&
          through?.traddr === listen.traddr &&
          through.trsvcid === listen.trsvcid
        )
          return refusal(
            Status.CONNECT_INVALID_HOST,
            0,
            `host ${hostnqn} has a controller at this address already`,
          );
      }
    if (!this.target.hasRoom(this.controllers.size))
      return refusal(
        Status.CONTROLLER_BUSY,
        0,
        'there are as many controllers as there may be (controllers)',
      );
    const cntlid = subsystem.allocateCntlid(question.cntlid);
    if (cntlid === 0)
      return refusal(Status.CONTROLLER_BUSY, 0, `subsystem ${subsystem.nqn} has no controller id left`);
    const state = new ControllerState(ControllerState.allocate(transport.max_io_qpairs_per_ctrlr));
    const controller: ControllerRecord = {
      ...{ id: ++this.ids, cntlid, hostnqn, hostid, subsystem, state, transport },
      listener: subsystem.listener(listen)?.id ?? -1,
      qpairs: new Map(),
    };
    subsystem.controllers.set(cntlid, controller);
    this.controllers.set(controller.id, controller);
    return this.admit(controller, question, reactor);
  }

  private join(subsystem: Subsystem, question: ConnectQuestion, reactor: number): ConnectAnswer {
    const { qid, cntlid, hostnqn, hostid } = question;
    if (subsystem.subtype === 'Discovery')
      return invalid(connectOffset.qid, false, 'a discovery controller has no I/O queues');
    const controller = subsystem.controllers.get(cntlid);
    if (controller === undefined || controller.state.closing)
      return invalid(connectDataOffset.cntlid, true, `there is no controller ${cntlid}`);
    if (controller.hostnqn !== hostnqn)
      return invalid(connectDataOffset.hostnqn, true, `controller ${cntlid} is of another host`);
    if (controller.hostid !== hostid)
      return invalid(connectDataOffset.hostid, true, `controller ${cntlid} is of another host identifier`);
    const cc = decodeCc(controller.state.cc);
    if (!cc.en || cc.shn !== shn.none || !decodeCsts(controller.state.csts).rdy)
      return invalid(connectOffset.qid, false, `controller ${cntlid} is not enabled`);
    if (cc.iosqes !== IOSQES || cc.iocqes !== IOCQES)
      return invalid(connectOffset.qid, false, `controller ${cntlid}: CC.IOSQES or CC.IOCQES is wrong`);
    if (controller.qpairs.has(qid))
      return refusal(Status.SEQUENCE_ERROR, 0, `controller ${cntlid}: queue id ${qid} is in use`);
    return this.admit(controller, question, reactor);
  }

  private admit(controller: ControllerRecord, question: ConnectQuestion, reactor: number): ConnectAnswer {
    const { qid, thread } = question;
    const authenticate = controller.subsystem.authenticates(controller.hostnqn);
    const auth = authenticate ? { state: 'negotiate', hash: 0, dhgroup: -1 } : null;
    controller.qpairs.set(qid, { qid, reactor, thread, auth, ...addresses(question) });
    controller.state.setReactorOf(qid, reactor);
    const { id, cntlid, subsystem, listener, hostnqn, hostid, state, transport } = controller;
    return {
      grant: {
        ...{ id, cntlid, subsystem: subsystem.id, listener, hostnqn, hostid },
        ...{ state: state.memory, transport, authenticate },
      },
    };
  }

  /** A controller that a reactor speaks of. */
  controller(id: number): ControllerRecord | undefined {
    return this.controllers.get(id);
  }

  /** A queue pair has ended. With the admin queue ends the association. */
  qpairGone({ controller: id, qid }: QpairGone): void {
    const controller = this.controllers.get(id);
    if (controller === undefined || !controller.qpairs.delete(qid)) return;
    controller.state.setReactorOf(qid, -1);
    if (controller.qpairs.size === 0) {
      this.controllers.delete(id);
      controller.subsystem.forget(controller);
    } else if (qid === 0) {
      controller.state.close();
      this.target.disconnect(controller, 'the admin queue is gone');
    }
  }
}
