import {
  type AsyncEvent,
  adminOpcode,
  aec,
  decodeAsyncEvent,
  decodeNamespaceList,
  eventType,
  fid,
  lid,
  logPageDwords,
  NSID_ALL,
  noticeEvent,
  oaes,
} from '@spdk-ts/nvme-spec';
import type { CommandSender, Commands } from './commands.ts';
import { NvmeError } from './errors.ts';

/** Requests that are kept outstanding at most, whatever the controller takes. */
const REQUESTS_MAX = 4;
const CHANGED_LIST_BYTES = 4096;
/** Its first entry, where more than 1024 namespaces have changed. */
const TOO_MANY = 0xffff_ffff;

/** Reads a part of a log page (Base 2.0, 5.16). `length`: a multiple of 4. */
export async function getLogPage(
  admin: CommandSender,
  page: number,
  length: number,
  options: { nsid?: number; offset?: number; lsp?: number; rae?: boolean; lsi?: number; csi?: number } = {},
): Promise<Uint8Array> {
  const { nsid = 0, offset = 0, ...rest } = options;
  const { data } = await admin.succeed(
    { opcode: adminOpcode.getLogPage, nsid, ...logPageDwords(page, length, offset, rest) },
    { in: length, what: `Get Log Page ${page.toString(16).padStart(2, '0')}h` },
  );
  return data;
}

/** What is told of a controller's events. */
export interface EventTaker {
  /** Namespaces have come, gone or changed; empty: it is not known which. */
  namespacesChanged(nsids: readonly number[]): Promise<void>;
  /** Asymmetric access to namespaces has changed. */
  anaChanged(): Promise<void>;
  asyncEvent(event: AsyncEvent): void;
  eventsFailed(error: Error): void;
}

/** Keeps Asynchronous Event Requests (Base 2.0, 5.2) outstanding. */
export class AsyncEvents {
  private readonly admin: Commands;
  private readonly taker: EventTaker;
  private generation = 0;

  constructor(admin: Commands, taker: EventTaker) {
    this.admin = admin;
    this.taker = taker;
  }

  /** Asks for the notices that the controller has, and for `aerl` + 1 events. */
  async start(controllerOaes: number, aerl: number, discovery: boolean): Promise<void> {
    let wanted = 0;
    if ((controllerOaes & oaes.namespaceAttribute) !== 0) wanted |= aec.namespaceAttribute;
    if ((controllerOaes & oaes.anaChange) !== 0) wanted |= aec.anaChange;
    if ((controllerOaes & oaes.discoveryLogChange) !== 0) wanted |= aec.discoveryLogChange;
    if (!discovery || wanted !== 0)
      await this.admin.run(
        { opcode: adminOpcode.setFeatures, cdw10: fid.asyncEventConfiguration, cdw11: wanted >>> 0 },
        { what: 'Set Features (Asynchronous Event Configuration)' },
      );
    const generation = ++this.generation;
    for (let i = 0; i < Math.min(REQUESTS_MAX, aerl + 1); i++) void this.ask(generation);
  }

  /** What comes from now on is not told. */
  stop(): void {
    this.generation++;
  }

  private async ask(generation: number): Promise<void> {
    const fields = { opcode: adminOpcode.asyncEventRequest };
    try {
      while (generation === this.generation) {
        const { dw0 } = await this.admin.succeed(fields, {
          patient: true,
          what: 'Asynchronous Event Request',
        });
        if (generation === this.generation) await this.take(decodeAsyncEvent(dw0));
      }
    } catch (error) {
      if (generation !== this.generation) return;
      // A controller may take fewer requests than it says: the others go on.
      if (error instanceof NvmeError && error.code === 'ESTATUS') return;
      this.taker.eventsFailed(error as Error);
    }
  }

  private async take(event: AsyncEvent): Promise<void> {
    if (event.type === eventType.notice && event.info === noticeEvent.namespaceAttributeChanged) {
      const page = await getLogPage(this.admin, lid.changedNamespaceList, CHANGED_LIST_BYTES, {
        nsid: NSID_ALL,
      });
      const list = decodeNamespaceList(page);
      await this.taker.namespacesChanged(list[0] === TOO_MANY ? [] : list);
    } else if (event.type === eventType.notice && event.info === noticeEvent.anaChange)
      await this.taker.anaChanged();
    this.taker.asyncEvent(event);
  }
}
