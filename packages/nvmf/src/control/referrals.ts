import { DISCOVERY_NQN } from '@spdk-ts/nvme-spec';
import { invalidParams } from '@spdk-ts/rpc';
import type { TransportAddress } from '../qpair.ts';
import { type ListenAddress, parseReferral, sameAddress } from './address-control.ts';
import type { Referral } from './discovery.ts';

/** The other discovery services that the target's own points to. Refusals are RPC errors. */
export class Referrals {
  all: readonly Referral[] = [];
  private readonly most: () => number;
  private readonly changed: () => void;

  /** `most`: how many there may be. `changed` is called behind each change. */
  constructor(most: () => number, changed: () => void) {
    this.most = most;
    this.changed = changed;
  }

  /** One that is there already changes nothing. */
  add(given: ListenAddress, subnqn = DISCOVERY_NQN, secure_channel = false): void {
    const address = parseReferral(given, 'address');
    if (this.find(address, subnqn) !== undefined) return;
    const most = this.most();
    if (this.all.length >= most)
      throw invalidParams(
        `address: there are ${most} referrals; raise the limit with spdk_ts_nvmf_set_limits`,
        'address',
      );
    this.all = [...this.all, { address, subnqn, secure_channel }];
    this.changed();
  }

  /** False if there is no such referral. */
  remove(given: ListenAddress, subnqn = DISCOVERY_NQN): boolean {
    const found = this.find(parseReferral(given, 'address'), subnqn);
    if (found === undefined) return false;
    this.all = this.all.filter((other) => other !== found);
    this.changed();
    return true;
  }

  private find(address: TransportAddress, subnqn: string): Referral | undefined {
    return this.all.find((other) => sameAddress(other.address, address) && other.subnqn === subnqn);
  }
}
