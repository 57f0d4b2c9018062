import type { ReactorHost } from '@spdk-ts/reactor';
import { BdevError } from './errors.ts';
import { Errno } from './io-status.ts';
import { checkNumber } from './naming-control.ts';
import { noRateLimits, RateLimiter, type RateLimits, rateLimitNames } from './rate-limits.ts';

/** What the control thread tells every reactor. */
export interface RateLimitMessage {
  readonly id: number;
  /** null: none any more. */
  readonly limits: RateLimits | null;
  readonly shared: SharedArrayBuffer;
}

/** The rate limits of all bdevs, on the control thread. */
export class RateLimitControl {
  private readonly host: ReactorHost;
  private readonly limits = new Map<number, RateLimits>();
  private readonly changing = new Set<number>();

  constructor(host: ReactorHost) {
    this.host = host;
  }

  of(id: number): RateLimits {
    return this.limits.get(id) ?? noRateLimits;
  }

  /**
   * Changes the limits that `change` has; 0 takes one away. Rejects with BdevError EINVAL if it has none or one that
   * cannot be, EAGAIN while another change of the same bdev is under way.
   */
  async set(id: number, name: string, change: Partial<RateLimits>): Promise<void> {
    const given = rateLimitNames.filter((limit) => change[limit] !== undefined);
    if (given.length === 0)
      throw new BdevError(
        Errno.EINVAL,
        `No rate limits specified for bdev ${name}; give at least one of ${rateLimitNames.join(', ')}`,
      );
    for (const limit of given) checkNumber(limit, change[limit]!, 0, Number.MAX_SAFE_INTEGER);
    if (this.changing.has(id))
      throw new BdevError(Errno.EAGAIN, `the limits of bdev ${name} are being changed; try again`);
    const limits = { ...this.of(id), ...Object.fromEntries(given.map((limit) => [limit, change[limit]!])) };
    const any = rateLimitNames.some((limit) => limits[limit] > 0);
    this.changing.add(id);
    try {
      const message: RateLimitMessage = { id, limits: any ? limits : null, shared: RateLimiter.allocate() };
      await this.host.broadcast('bdev', 'setRateLimits', message);
      if (any) this.limits.set(id, limits);
      else this.limits.delete(id);
    } finally {
      this.changing.delete(id);
    }
  }

  /** The call that sets a bdev's limits again, if it has any. */
  config(id: number, name: string): { method: string; params: Record<string, unknown> }[] {
    const limits = Object.entries(this.of(id)).filter(([, value]) => value > 0);
    if (limits.length === 0) return [];
    return [{ method: 'bdev_set_qos_limit', params: { name, ...Object.fromEntries(limits) } }];
  }

  forget(id: number): void {
    this.limits.delete(id);
  }
}
