import { eventType, noticeEvent } from '@spdk-ts/nvme-spec';
import { type ControllerEvent, NvmeController } from './controller.ts';
import {
  addressKey,
  DISCOVERY_CONTROLLERS_MAX,
  leadsTo,
  readDiscoveryLog,
  splitDiscoveryLog,
} from './discovery.ts';
import type { NvmeTarget } from './node-identity.ts';
import type { NvmePollGroup } from './poll-group.ts';
import { formatTransportId, type TransportId } from './transport-id.ts';

/** Delay before a discovery controller is connected to again. */
const RETRY_MS = 1000;

/** What is known of subsystems now. Cloneable. */
export interface Discovered {
  /** Their addresses, each once, whichever log they are in. */
  readonly subsystems: readonly TransportId[];
  /** Further discovery controllers that were referred to. */
  readonly referrals: readonly TransportId[];
  /** The first controller has told what it knows, and each that was referred to has, or could not be reached. */
  readonly settled: boolean;
  /** Why controllers could not be reached, or read. */
  readonly problems: readonly string[];
}

/** A discovery controller, and what it knows. */
interface Node {
  readonly trid: TransportId;
  readonly running: Promise<void>;
  controller: NvmeController | null;
  closing: Promise<void> | null;
  subsystems: readonly TransportId[];
  referrals: readonly TransportId[];
  /** It has been read, or tried in vain. */
  tried: boolean;
  heard: boolean;
  problem: string;
  wanted: boolean;
}

const isLogChange = (event: ControllerEvent): boolean =>
  event.type === 'async-event' &&
  event.event.type === eventType.notice &&
  event.event.info === noticeEvent.discoveryLogChange;

/**
 * Stays connected to a discovery controller, and to those that it refers to, however they refer to each other: `onChange` is told
 * whenever something else is known than before. Controllers that are lost are looked for, for ever; what they knew holds meanwhile.
 */
export class DiscoveryService {
  private readonly group: NvmePollGroup;
  private readonly target: NvmeTarget;
  private readonly onChange: (found: Discovered) => void;
  private readonly nodes = new Map<string, Node>();
  private readonly ending = new Set<Promise<void>>();
  private told = '';
  private closed = false;

  /** Begins at once. Of the options of `target` those about losing and reconnecting are its own. */
  constructor(group: NvmePollGroup, target: NvmeTarget, onChange: (found: Discovered) => void) {
    this.group = group;
    const options = { ...target.options, ctrlr_loss_timeout_ms: -1, reconnect_delay_ms: RETRY_MS };
    this.target = { ...target, options };
    this.onChange = onChange;
    this.add(target.trid);
  }

  private add(trid: TransportId): void {
    let begin = (): void => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const node: Node = {
      ...{
        trid,
        controller: null,
        closing: null,
        subsystems: [],
        referrals: [],
        tried: false,
        heard: false,
        problem: '',
        wanted: true,
      },
      running: begun.then(() => this.run(node)),
    };
    this.nodes.set(addressKey(trid), node);
    begin();
  }

  private async run(node: Node): Promise<void> {
    while (node.wanted) {
      try {
        await this.follow(node);
      } catch (error) {
        this.failed(node, error as Error);
      }
      if (node.wanted) await this.group.sleep(RETRY_MS);
    }
  }

  private failed(node: Node, error: Error): void {
    if (!node.wanted) return;
    if (node.problem !== error.message)
      this.group.log.warn(`discovery: ${formatTransportId(node.trid)}: ${error.message}`);
    node.problem = error.message;
    node.tried = true;
    this.update();
  }

  /** Connects, and reads the log whenever it may have changed. Resolves when the controller is gone. */
  private async follow(node: Node): Promise<void> {
    const { hostaddr } = this.target.trid;
    const target = { ...this.target, trid: { ...node.trid, hostaddr } };
    const controller = await NvmeController.connect(this.group, target);
    node.controller = controller;
    try {
      // From here on no event is missed: one that comes while the log is read has it read again.
      const events = controller.events[Symbol.asyncIterator]();
      if (!node.wanted) return;
      await this.read(node, controller);
      for await (const event of events)
        if (event.type === 'connected' || isLogChange(event))
          await this.read(node, controller).catch((error: Error) => this.failed(node, error));
    } finally {
      node.controller = null;
      await (node.closing ?? controller.close());
    }
  }

  private async read(node: Node, controller: NvmeController): Promise<void> {
    const { subsystems, referrals } = splitDiscoveryLog(await readDiscoveryLog(controller.admin));
    node.subsystems = leadsTo(subsystems);
    node.referrals = leadsTo(referrals);
    node.tried = true;
    node.heard = true;
    node.problem = '';
    this.update();
  }

  /** Follows new referrals, leaves controllers that nobody refers to any more, and tells what is known. */
  private update(): void {
    if (this.closed) return;
    const reached = this.reached();
    for (const [key, node] of this.nodes) if (!reached.has(key)) this.leave(key, node);
    for (const [key, trid] of reached) if (!this.nodes.has(key)) this.add(trid);
    const found = this.found();
    const text = JSON.stringify(found);
    if (text === this.told) return;
    this.told = text;
    this.onChange(found);
  }

  /** Controllers that are referred to, directly or not, from the first on. */
  private reached(): Map<string, TransportId> {
    const root = this.target.trid;
    const reached = new Map([[addressKey(root), root]]);
    for (const [key] of reached)
      for (const trid of this.nodes.get(key)?.referrals ?? [])
        if (reached.size < DISCOVERY_CONTROLLERS_MAX) reached.set(addressKey(trid), trid);
    return reached;
  }

  private found(): Discovered {
    const nodes = [...this.nodes.values()];
    const subsystems = new Map<string, TransportId>();
    for (const node of nodes) for (const trid of node.subsystems) subsystems.set(addressKey(trid), trid);
    return {
      subsystems: [...subsystems.values()],
      referrals: nodes.slice(1).map(({ trid }) => trid),
      settled: nodes[0]?.heard === true && nodes.every(({ tried }) => tried),
      problems: nodes.filter(({ problem }) => problem !== '').map(({ problem }) => problem),
    };
  }

  private leave(key: string, node: Node): void {
    this.nodes.delete(key);
    node.wanted = false;
    this.ending.add(node.running);
    void node.running.finally(() => this.ending.delete(node.running));
    node.closing = node.controller?.close() ?? null;
  }

  /** Leaves all controllers. Resolves when their connections are closed. */
  async close(): Promise<void> {
    this.closed = true;
    for (const [key, node] of this.nodes) this.leave(key, node);
    await Promise.all(this.ending);
  }
}
