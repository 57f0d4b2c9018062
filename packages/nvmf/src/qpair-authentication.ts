import { strongest } from '@spdk-ts/nvme-auth/identifiers';
import { type AuthNegotiate, authFailure } from '@spdk-ts/nvme-spec';
import type { Poller } from '@spdk-ts/reactor';
import type { NvmfController } from './controller.ts';
import type { NvmfPollGroup } from './poll-group.ts';
import type { NvmfQpair } from './qpair.ts';
import type { AuthProgress } from './snapshot.ts';

/** Where an authentication is: what the host is to do next. Names as nvmf_subsystem_get_qpairs shows them. */
export type AuthState =
  | 'negotiate'
  | 'challenge'
  | 'reply'
  | 'success1'
  | 'success2'
  | 'failure1'
  | 'completed'
  | 'error';

/** How long a host may take from one message to the next where it has no keep alive timeout. */
const TIMEOUT_MS = 120_000;

/**
 * The authentication of one queue pair (Base 2.0, 8.13.5): its state and its deadline. Until it has succeeded for the
 * first time {@link NvmfQpair.controller} is null, so that every other command finds no controller.
 */
export class QpairAuthentication {
  readonly qpair: NvmfQpair;
  readonly controller: NvmfController;
  state: AuthState = 'negotiate';
  /** The host's transaction identifier. */
  tId = 0;
  /** What was chosen. */
  hash = 0;
  dhgroup = 0;
  /** R2 for the host, once it has asked for it and proved itself. */
  rval: Uint8Array | null = null;
  /** Explanation of the failure that the host will be told. */
  failure = 0;
  /** A message is being worked on elsewhere. */
  busy = false;
  private readonly group: NvmfPollGroup;
  private timer: Poller | null = null;

  constructor(group: NvmfPollGroup, qpair: NvmfQpair, controller: NvmfController) {
    this.group = group;
    this.qpair = qpair;
    this.controller = controller;
    this.expect('negotiate');
  }

  /** Chooses of what a host offers, or returns why that cannot be. */
  choose(offer: AuthNegotiate | null): [explanation: number, why: string] | null {
    if (offer === null) return [authFailure.incorrectPayload, 'AUTH_Negotiate has wrong lengths'];
    const { scC, dhchap, hashes, groups } = offer;
    if (scC !== 0)
      return [authFailure.secureChannelMismatch, `secure channel concatenation ${scC} is not had here`];
    if (!dhchap) return [authFailure.protocolNotUsable, 'the host does not offer DH-HMAC-CHAP'];
    const { dhchap_digests, dhchap_dhgroups } = this.group.target;
    this.hash = strongest(hashes, dhchap_digests);
    if (this.hash < 0)
      return [authFailure.hashNotUsable, `none of its hash functions (${hashes}) is allowed`];
    this.dhgroup = strongest(groups, dhchap_dhgroups);
    if (this.dhgroup < 0)
      return [authFailure.dhGroupNotUsable, `none of its DH groups (${groups}) is allowed`];
    return null;
  }

  /** The host is to do this next, before its time is over. */
  expect(state: AuthState): void {
    this.enter(state);
    const { kato_ms = 0 } = this.controller.admin?.keepAlive ?? {};
    this.after((kato_ms === 0 ? TIMEOUT_MS : kato_ms) * 1000, () => this.timedOut());
  }

  /** Nothing is due any more. */
  settle(state: AuthState): void {
    this.enter(state);
    this.stop();
  }

  /** Ends the connection a little later: who guesses keys shall not do so quickly. */
  disconnectAfter(us: number, reason: string): void {
    this.after(us, () => {
      if (!this.qpair.disconnecting) this.qpair.disconnect(reason);
    });
  }

  stop(): void {
    this.timer?.unregister();
    this.timer = null;
  }

  private enter(state: AuthState): void {
    this.state = state;
    const progress: AuthProgress = { controller: this.controller.id, qid: this.qpair.qid, state };
    this.group.reactor.control.notify('nvmf', 'authProgress', progress);
  }

  private after(us: number, then: () => void): void {
    this.stop();
    this.timer = this.group.thread.registerPoller(
      'nvmf_qpair_auth',
      () => {
        this.stop();
        then();
        return 1;
      },
      us,
    );
  }

  /** A live queue stays: its authentication of before holds. */
  private timedOut(): void {
    if (this.qpair.controller !== null) this.settle('completed');
    else if (!this.qpair.disconnecting) this.qpair.disconnect('authentication timed out');
  }
}
