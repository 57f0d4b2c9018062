/** What a target says of itself: found once, before the checks, which are gated and sized by it. */
import {
  adminOpcode,
  type CommandEffects,
  type ControllerCapabilities,
  cns,
  csi,
  decodeCap,
  decodeCommandEffects,
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  decodeSupportLog,
  type IcResp,
  type IdentifyController,
  type IdentifyControllerNvm,
  type IdentifyNamespace,
  identifyController,
  identifyControllerNvm,
  identifyDwords,
  identifyNamespace,
  lbaFormatIndex,
  lid,
  logPageDwords,
  lpa,
  register,
  statusCode,
} from '@spdk-ts/nvme-spec';
import { CC_ENABLED, type CommandHost } from '../host/index.ts';

export interface NamespaceFacts {
  readonly nsid: number;
  /** Command set, one of `csi`. */
  readonly set: number;
  readonly blocks: number;
  readonly block_size: number;
  /** Metadata bytes a block. */
  readonly metadata: number;
  readonly data: IdentifyNamespace;
}

/** What carries commands: PDUs, or queues in the host's memory. */
export type Transport = 'TCP' | 'PCI';

/** What is known of the way to the target. */
export interface WayFacts {
  readonly transport: Transport;
  /** Hosts that it can have at once. */
  readonly hosts: number;
  /** Null over PCI. */
  readonly icResp: IcResp | null;
  /** A subsystem at the same address that does not allow our host, if one was named. */
  readonly closedSubnqn?: string | undefined;
}

export interface Facts extends WayFacts {
  readonly controller: IdentifyController;
  /** Limits of the NVM Command Set (CNS 06h), or null where there is no such data. */
  readonly limits: IdentifyControllerNvm | null;
  readonly cap: ControllerCapabilities;
  readonly vs: number;
  readonly namespaces: readonly NamespaceFacts[];
  /** The namespace that checks of the NVM Command Set write to: the smallest blocks, no metadata. */
  readonly ns: NamespaceFacts;
  readonly zoned: NamespaceFacts | null;
  readonly keyValue: NamespaceFacts | null;
  /** With metadata or protection information, if there is one. */
  readonly protected: NamespaceFacts | null;
  /** An NSID up to NN that has no active namespace, or 0. */
  readonly inactive: number;
  /** I/O queues that the controller grants. */
  readonly io_queues: number;
  /** Bytes of data that an I/O command may bring in its capsule. */
  readonly capsule_bytes: number;
  /** Largest transfer, bytes, by MDTS; Infinity without a limit. */
  readonly transfer_max: number;
  readonly effects: CommandEffects | null;
  /** Log pages, by page 00h; null where that is not there. */
  readonly pages: ReadonlyMap<number, number> | null;
  /** The largest keep alive timeout granted for a request of a second, in ms: what an expiry takes. */
  readonly kato_ms: number;
}

/** Bits of CAP.CSS and the value of CC.CSS for all command sets. */
const CSS_ALL = 0x40;
const CC_CSS_ALL = 6 << 4;

/** CC that enables every command set that the controller has. */
export const ccFor = (cap: ControllerCapabilities): number =>
  cap.css & CSS_ALL ? CC_ENABLED | CC_CSS_ALL : CC_ENABLED;

export async function capabilities(host: CommandHost): Promise<ControllerCapabilities> {
  const { status, dw0, dw1 } = await host.getProperty(register.cap, 1);
  if (status !== 0) throw new Error(`CAP cannot be read: status ${status.toString(16)}`);
  return decodeCap(dw0, dw1);
}

async function logPage(host: CommandHost, page: number, length: number): Promise<Buffer | null> {
  const completion = await host.admin.submitRead(
    { opcode: adminOpcode.getLogPage, nsid: 0xffff_ffff, psdt: 1, ...logPageDwords(page, length) },
    length,
  );
  return completion.status === 0 ? completion.data : null;
}

async function identifySet(host: CommandHost, which: number, set: number, nsid = 0): Promise<Buffer | null> {
  const { status, data } = await host.admin.submitRead(
    { opcode: adminOpcode.identify, nsid, psdt: 1, ...identifyDwords(which, set) },
    4096,
  );
  return status === 0 ? data : null;
}

async function namespaceFacts(host: CommandHost, nsid: number): Promise<NamespaceFacts> {
  const bytes = await host.identify(cns.namespace, nsid).catch(() => Buffer.alloc(identifyNamespace.size));
  const data = identifyNamespace.decode(bytes);
  const ids = await host.identify(cns.namespaceDescriptors, nsid);
  const format = data.lbaf[lbaFormatIndex(data.flbas, data.nlbaf)]!;
  const set = decodeNamespaceDescriptors(ids).csi ?? csi.nvm;
  return { nsid, set, blocks: data.nsze, block_size: 2 ** format.lbads, metadata: format.ms, data };
}

/** `host`: connected and enabled. */
export async function findFacts(host: CommandHost, way: WayFacts): Promise<Facts> {
  const controller = identifyController.decode(await host.identify(cns.controller));
  const cap = await capabilities(host);
  const nsids = decodeNamespaceList(await host.identify(cns.activeNamespaceList));
  const namespaces: NamespaceFacts[] = [];
  for (const nsid of nsids.slice(0, 32)) namespaces.push(await namespaceFacts(host, nsid));
  const plain = namespaces
    .filter((ns) => ns.set === csi.nvm && ns.metadata === 0 && ns.blocks >= 4096)
    .sort((a, b) => a.block_size - b.block_size);
  const [ns] = plain;
  if (ns === undefined)
    throw new Error(
      'the subsystem has no NVM namespace of 4096 blocks without metadata: there is nothing to write to',
    );
  const limits = await identifySet(host, cns.csiController, csi.nvm);
  const effects = controller.lpa & lpa.commandEffects ? await logPage(host, lid.commandEffects, 4096) : null;
  const pages =
    controller.lpa & lpa.supportedAndEffects ? await logPage(host, lid.supportedLogPages, 1024) : null;
  let inactive = 0;
  for (let nsid = 1; nsid <= Math.min(controller.nn, 4096) && inactive === 0; nsid++)
    if (!nsids.includes(nsid)) inactive = nsid;
  return {
    ...way,
    ...{ controller, cap, namespaces, ns, inactive },
    limits: limits === null ? null : identifyControllerNvm.decode(limits),
    vs: await host.property(register.vs),
    zoned: namespaces.find(({ set }) => set === csi.zoned) ?? null,
    keyValue: namespaces.find(({ set }) => set === csi.keyValue) ?? null,
    protected: namespaces.find(({ set, metadata }) => set === csi.nvm && metadata > 0) ?? null,
    io_queues: await host.setQueueCount(16),
    capsule_bytes: Math.max(0, controller.ioccsz * 16 - 64),
    transfer_max: controller.mdts === 0 ? Number.POSITIVE_INFINITY : 2 ** (12 + cap.mpsmin + controller.mdts),
    effects: effects === null ? null : decodeCommandEffects(effects),
    pages: pages === null ? null : decodeSupportLog(pages),
    kato_ms: await grantedKato(host, 1000),
  };
}

/** Asks for a keep alive timeout, and returns what it has become; 0 where it cannot be told. */
export async function grantedKato(host: CommandHost, ms: number): Promise<number> {
  const feature = { psdt: 1, cdw10: 0x0f };
  const set = await host.admin.submit({ opcode: adminOpcode.setFeatures, ...feature, cdw11: ms });
  if (statusCode(set.status) !== 0) return 0;
  const got = await host.admin.submitRead({ opcode: adminOpcode.getFeatures, ...feature }, 0);
  await host.admin.submit({ opcode: adminOpcode.setFeatures, ...feature, cdw11: 0 });
  return got.status === 0 ? got.dw0 : 0;
}
