/** An event that clients may want to know of. */
export interface Notification {
  readonly type: string;
  readonly ctx: string;
  readonly id: number;
}

/** Events kept for notify_get_notifications. */
const CAPACITY = 1024;

/** The last events, numbered from 0. */
export class Notifications {
  private readonly kept: Notification[] = [];
  private next = 0;
  private readonly knownTypes: string[] = [];
  /** Called for each new event. */
  onNotification: ((notification: Notification) => void) | null = null;

  get types(): readonly string[] {
    return this.knownTypes;
  }

  addType(type: string): void {
    if (!this.knownTypes.includes(type)) this.knownTypes.push(type);
  }

  send(type: string, ctx: string): void {
    this.addType(type);
    const notification = { type, ctx, id: this.next++ };
    this.kept.push(notification);
    if (this.kept.length > CAPACITY) this.kept.shift();
    this.onNotification?.(notification);
  }

  /** Events from number `id` on (the oldest kept, if that is gone), `max` of them at most. */
  from(id: number, max: number): Notification[] {
    return this.kept.filter((one) => one.id >= id).slice(0, max);
  }
}
