import type { Sock } from '@spdk-ts/sock';
import type { TcpTimeouts } from './limits.ts';
import type { PduReceiver } from './pdu-receiver.ts';

/**
 * Notices a host that is silent where it must speak, or does not take what it asked for. Asked now and then; what
 * it costs in between is nothing.
 */
export class StallWatch {
  private readonly sock: Sock;
  private readonly receiver: PduReceiver;
  private readonly timeouts: TcpTimeouts;
  /** When the phase of the connection that is timed began. */
  private since: number;
  private initializedAt = -1;
  private endingAt = -1;
  private blockedAt = -1;
  /** How far the peer had taken what is sent when that was last looked at; -1: nothing was on its way. */
  private sentPosition = -1;
  private sentSince: number;
  /** Everything that was to be sent at some time, and since when the peer takes it; -1: nothing. */
  private sendMark = -1;
  private sendMarkSince: number;
  private pdus = 0;
  private pduSince: number;
  private receivedMark = 0;
  private receivedSince: number;

  constructor(sock: Sock, receiver: PduReceiver, timeouts: TcpTimeouts, now: number) {
    this.sock = sock;
    this.receiver = receiver;
    this.timeouts = timeouts;
    this.since = now;
    this.sentSince = now;
    this.receivedSince = now;
    this.sendMarkSince = now;
    this.pduSince = now;
  }

  initialized(now: number): void {
    this.initializedAt = now;
    this.since = now;
  }
  ending(now: number): void {
    if (this.endingAt < 0) this.endingAt = now;
  }
  blocked(now: number): void {
    this.blockedAt = now;
  }
  blockedTooLong(now: number): boolean {
    return this.blockedAt >= 0 && now - this.blockedAt > this.timeouts.memory;
  }

  /** What the host took too long for, or an empty text. `unconnected`: no Connect command has succeeded yet. */
  check(now: number, unconnected: boolean): string {
    const { timeouts } = this;
    if (this.endingAt >= 0)
      return now - this.endingAt > timeouts.terminate ? 'did not close after a termination request' : '';
    if (this.initializedAt < 0) return now - this.since > timeouts.icreq ? 'sent no ICReq' : '';
    if (unconnected && now - this.since > timeouts.connect) return 'sent no Connect command';
    if (this.sendStalled(now)) return 'takes nothing of what is sent to it';
    if (this.sendSlow(now)) return 'takes what is sent to it too slowly';
    if (this.receiveSlow(now)) return 'sends a PDU too slowly';
    return this.receiveStalled(now) ? 'stopped in the middle of a PDU' : '';
  }

  private sendStalled(now: number): boolean {
    const { sock } = this;
    if (sock.txDone === sock.txQueued) {
      this.sentPosition = -1;
      this.sentSince = now;
      return false;
    }
    const position = sock.txProgress;
    if (position !== this.sentPosition) {
      if (this.sentPosition >= 0) this.sentSince = now;
      this.sentPosition = position;
    }
    return now - this.sentSince > this.timeouts.send;
  }

  private sendSlow(now: number): boolean {
    const { sock } = this;
    if (sock.txDone === sock.txQueued || sock.txDone >= this.sendMark) {
      this.sendMark = sock.txQueued;
      this.sendMarkSince = now;
      return false;
    }
    return now - this.sendMarkSince > this.timeouts.transfer;
  }

  private receiveSlow(now: number): boolean {
    const { receiver } = this;
    if (!receiver.midPdu || receiver.blocked || this.sock.rxStalled || receiver.pdus !== this.pdus) {
      this.pdus = receiver.pdus;
      this.pduSince = now;
      return false;
    }
    return now - this.pduSince > this.timeouts.transfer;
  }

  private receiveStalled(now: number): boolean {
    const { sock, receiver } = this;
    // Grows or shrinks with every byte that arrives; the same twice in the middle of a PDU means silence.
    const mark = receiver.pdus * 0x1000_0000 + sock.directLeft + (sock.rxEnd - sock.rxStart);
    if (!receiver.midPdu || receiver.blocked || sock.rxStalled || mark !== this.receivedMark) {
      this.receivedMark = mark;
      this.receivedSince = now;
      return false;
    }
    return now - this.receivedSince > this.timeouts.receive;
  }
}
