import type { Reactor } from '@spdk-ts/reactor';
import { VfioUserMessage } from './messages.ts';
import { type PartContext, type PartOwner, SessionPart } from './session-part.ts';

/** What a session does with what its parts tell. */
export interface PartListener extends PartOwner {
  answered(token: number, status: number): void;
}

type Message = ArrayLike<number>;

/**
 * A reactor's ear for the messages between sessions and their parts, which may be on one reactor or on two: either
 * way they go through here. It outlives the transport, because a message may arrive after that has been destroyed.
 */
export class PartHub {
  private static readonly hubs = new WeakMap<Reactor, PartHub>();
  private readonly reactor: Reactor;
  private context: PartContext | null = null;
  /** By the session's id, in the order of their coming. */
  readonly parts = new Map<number, SessionPart>();
  /** The same, for loops. */
  list: readonly SessionPart[] = [];
  private readonly sessions = new Map<number, PartListener>();
  private ids = 0;

  static of(reactor: Reactor): PartHub {
    let hub = PartHub.hubs.get(reactor);
    if (hub === undefined) {
      hub = new PartHub(reactor);
      PartHub.hubs.set(reactor, hub);
    }
    return hub;
  }

  private constructor(reactor: Reactor) {
    this.reactor = reactor;
    for (const kind of Object.values(VfioUserMessage))
      reactor.onMessage(kind, (m, from) => this.handle(kind, m, from));
  }

  /** What parts here are made with from now on; null: none is made any more. */
  serve(context: PartContext | null): void {
    this.context = context;
  }

  /** A new session's id, in which its reactor is. */
  addSession(session: PartListener): number {
    const id = ++this.ids * this.reactor.count + this.reactor.index;
    this.sessions.set(id, session);
    return id;
  }
  removeSession(id: number): void {
    this.sessions.delete(id);
  }

  /** Sends a message to a session's part on a reactor, or to the session. */
  send(to: number, kind: number, ...values: number[]): void {
    if (to === this.reactor.index) this.handle(kind, [kind, ...values], to);
    else this.reactor.sendMessage(to, kind, ...values);
  }

  private handle(kind: number, m: Message, from: number): void {
    const id = m[1]!;
    switch (kind) {
      case VfioUserMessage.ANSWER:
        this.sessions.get(id)?.answered(m[2]!, m[3]!);
        return;
      case VfioUserMessage.QUEUE_GONE:
        this.sessions.get(id)?.queueGone(m[2]!);
        return;
      case VfioUserMessage.FATAL:
        this.sessions.get(id)?.fatal(m[2]!);
        return;
      case VfioUserMessage.ATTACH:
        this.attach(id, m[3]!, m[4]!, from);
        this.answer(from, id, m[2]!, 0);
        return;
      default:
        this.toPart(kind, id, m, from);
    }
  }

  private answer(to: number, id: number, token: number, status: number): void {
    this.send(to, VfioUserMessage.ANSWER, id, token, status);
  }

  private attach(id: number, sharedFd: number, bar0Fd: number, home: number): void {
    if (this.context === null) return;
    const owner: PartOwner = {
      queueGone: (qid) => this.send(home, VfioUserMessage.QUEUE_GONE, id, qid),
      fatal: (reason) => this.send(home, VfioUserMessage.FATAL, id, reason),
    };
    this.parts.set(id, new SessionPart(id, this.context, sharedFd, bar0Fd, owner));
    this.list = [...this.parts.values()];
  }

  private toPart(kind: number, id: number, m: Message, from: number): void {
    const part = this.parts.get(id);
    const token = m[2]!;
    const done = (status: number): void => this.answer(from, id, token, status);
    if (part === undefined) {
      if (kind !== VfioUserMessage.KICK) done(GONE);
      return;
    }
    switch (kind) {
      case VfioUserMessage.MAP:
        done(part.map(m[3]!, m[4]!, m[5]!, m[6]!, m[7]! !== 0));
        break;
      case VfioUserMessage.UNMAP:
        part.unmap(m[3]!, m[4]!, done);
        break;
      case VfioUserMessage.CREATE_CQ:
        done(part.createCq({ qid: m[3]!, address: m[4]!, size: m[5]!, vector: m[6]! }));
        break;
      case VfioUserMessage.CREATE_SQ:
        part.createSq({ qid: m[3]!, address: m[4]!, size: m[5]! }, m[6]!, done);
        break;
      case VfioUserMessage.DELETE_CQ:
        part.deleteCq(m[3]!);
        done(0);
        break;
      case VfioUserMessage.DELETE_SQ:
        part.deleteSq(m[3]!);
        done(0);
        break;
      case VfioUserMessage.SHADOW:
        done(part.setShadow(m[3]!, m[4]!));
        break;
      case VfioUserMessage.RESET:
        part.reset();
        done(0);
        break;
      case VfioUserMessage.STOP:
        part.stop();
        done(0);
        break;
      case VfioUserMessage.DETACH:
        part.close();
        this.parts.delete(id);
        this.list = [...this.parts.values()];
        done(0);
        break;
      case VfioUserMessage.KICK:
        this.reactor.wake();
        break;
      default: // SYNC: whoever answers it uses nothing that was there before.
        done(0);
    }
  }
}

/** Status of what is asked of a part that is not there (an errno and no NVMe status of success). */
const GONE = 6;
