import { connectData, encodeSqe, type SqeFields, sglId } from '@spdk-ts/nvme-spec';
import type { NvmfPollGroup } from '../src/poll-group.ts';
import { NvmfQpair, type TransportAddress } from '../src/qpair.ts';
import { NvmfRequest, Transfer } from '../src/request.ts';
import type { NvmfTransport, NvmfTransportType, TransportOptions } from '../src/transport.ts';

/** What a host gets back. */
export interface Completion {
  readonly cid: number;
  readonly status: number;
  readonly dw0: number;
  readonly dw1: number;
  readonly sqhd: number;
  /** Of commands that bring data to the host and succeeded. */
  readonly data: Uint8Array;
}

export const HOST = 'nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555';
export const HOSTID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

/** A queue pair whose host is the test: commands are executed at once, completions collected. */
export class FakeQpair extends NvmfQpair {
  readonly trtype = 'TCP';
  readonly maxIoSize: number;
  readonly maxQueueDepth = 128;
  readonly listenAddress: TransportAddress;
  readonly peerAddress: TransportAddress;
  readonly completions: Completion[] = [];
  /** Commands that were sent with hold: their data "has not arrived". */
  readonly held = new Set<NvmfRequest>();
  /** Completed requests keep their memory until the test takes the completion off, as a slow host would. */
  keepsMemory = false;
  disconnectReason = '';
  removed = false;
  private readonly transport: FakeTransport;
  private readonly requests: NvmfRequest[] = [];
  private readonly kept: NvmfRequest[] = [];
  private cids = 0;

  constructor(transport: FakeTransport, listen: TransportAddress) {
    super(transport.group.nextQpairId(), transport.group);
    this.transport = transport;
    this.maxIoSize = transport.options.max_io_size;
    this.listenAddress = listen;
    this.peerAddress = { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: '40000' };
  }

  /** Sends a command; returns its CID. `data`: to the controller; `length`: bytes to the host. */
  send(
    fields: Partial<SqeFields> & { opcode: number },
    options: { data?: Uint8Array; length?: number; hold?: boolean; place?: boolean } = {},
  ): number {
    const { data, length = data?.length ?? 0, hold = false } = options;
    const cid = fields.cid ?? this.cids++ & 0x7fff;
    const request = this.free();
    const view = new DataView(request.sqe.buffer, request.sqe.byteOffset);
    encodeSqe(view, 0, {
      psdt: 1,
      sgl1: { identifier: sglId.transportDataBlock, address: 0, length },
      ...fields,
      cid,
    });
    request.load();
    this.group.classify(request);
    request.length = request.transfer === Transfer.NONE ? 0 : length;
    if (data !== undefined) {
      if (!this.group.allocate(request, data.length, () => {})) throw new Error('no memory for the test');
      this.group.reactor.regions.bytes(request.region).set(data, request.offset);
    }
    request.state = 1;
    if (options.place === true) {
      if (!this.group.placedWrites.begin(request, (granted) => this.placeGranted(granted))) {
        request.state = 0;
        throw new Error('no place');
      }
      this.held.add(request);
      return cid;
    }
    if (hold) this.held.add(request);
    else this.group.execute(request);
    return cid;
  }

  private placeGranted(request: NvmfRequest): void {
    if (request.status === 0) return;
    this.held.delete(request);
    this.group.endCommand(request, request.status);
  }

  /** The data of a command that was sent with place have arrived there. */
  arriveInPlace(cid: number, data: Uint8Array): void {
    const request = this.findRequest(cid)!;
    if (request.region < 0) throw new Error('it has no place yet');
    this.group.reactor.regions.bytes(request.region).set(data, request.offset);
    this.held.delete(request);
    this.group.executePlaced(request);
  }

  get allRequests(): readonly NvmfRequest[] {
    return this.requests;
  }

  private free(): NvmfRequest {
    const found = this.requests.find((request) => request.state === 0);
    if (found !== undefined) return found;
    const request = new NvmfRequest(this, this.requests.length, new Uint8Array(64));
    this.requests.push(request);
    return request;
  }

  connect(
    qid: number,
    options: {
      cntlid?: number;
      subnqn?: string;
      hostnqn?: string;
      hostid?: Uint8Array;
      entries?: number;
      kato?: number;
      cattr?: number;
      recfmt?: number;
      length?: number;
      raw?: (data: Uint8Array) => void;
    } = {},
  ): number {
    const data = new Uint8Array(1024);
    connectData.encode(
      {
        hostid: options.hostid ?? HOSTID,
        cntlid: options.cntlid ?? 0xffff,
        subnqn: options.subnqn ?? '',
        hostnqn: options.hostnqn ?? HOST,
      },
      data,
    );
    options.raw?.(data);
    const entries = options.entries ?? 32;
    return this.send(
      {
        opcode: 0x7f,
        nsid: 1,
        cdw10: ((qid << 16) | (options.recfmt ?? 0)) >>> 0,
        cdw11: (entries - 1) | ((options.cattr ?? 0) << 16),
        cdw12: options.kato ?? 0,
      },
      { data: data.subarray(0, options.length ?? 1024) },
    );
  }

  sendCompletion(request: NvmfRequest): void {
    const { cid, status, dw0, dw1, region, offset, length } = request;
    const withData = status === 0 && request.transfer === Transfer.CONTROLLER_TO_HOST && region >= 0;
    const bytes = this.group.reactor.regions.bytes(region);
    const data = withData ? bytes.slice(offset, offset + length) : new Uint8Array(0);
    if (!this.disconnecting) this.completions.push({ cid, status, dw0, dw1, sqhd: this.sqhd, data });
    if (this.keepsMemory) this.kept.push(request);
    else this.release(request);
  }

  releaseKept(): void {
    for (const request of this.kept.splice(0)) this.release(request);
  }

  private release(request: NvmfRequest): void {
    this.group.releaseRequest(request);
    request.state = 0;
    this.end();
  }

  disconnect(reason: string): void {
    if (this.disconnecting) return;
    this.disconnectReason = reason;
    this.group.qpairClosing(this);
    for (const request of this.held) this.release(request);
    this.held.clear();
    this.end();
  }

  /** Gone once nothing of it executes. */
  private end(): void {
    if (!this.disconnecting || this.removed || this.requests.some(({ state }) => state !== 0)) return;
    this.removed = true;
    this.group.removeQpair(this);
    this.transport.qpairs.delete(this);
  }

  findRequest(cid: number): NvmfRequest | null {
    return this.requests.find((request) => request.state !== 0 && request.cid === cid) ?? null;
  }

  abortHeld(request: NvmfRequest): boolean {
    if (!this.held.delete(request)) return false;
    this.group.endCommand(request, 7);
    return true;
  }

  /** The data of a held command has arrived. */
  arrive(cid: number): void {
    const request = this.findRequest(cid)!;
    this.held.delete(request);
    this.group.execute(request);
  }

  /** Takes the completion of a command, if it is there. */
  take(cid: number): Completion | undefined {
    const at = this.completions.findIndex((completion) => completion.cid === cid);
    return at < 0 ? undefined : this.completions.splice(at, 1)[0];
  }
}

/** A transport whose connections are made by the test. */
export class FakeTransport implements NvmfTransport {
  readonly trtype = 'TCP';
  readonly group: NvmfPollGroup;
  readonly options: TransportOptions;
  readonly qpairs = new Set<FakeQpair>();
  readonly listening: TransportAddress[] = [];

  constructor(group: NvmfPollGroup, options: TransportOptions) {
    this.group = group;
    this.options = options;
  }

  connection(address: TransportAddress): FakeQpair {
    const qpair = new FakeQpair(this, address);
    this.qpairs.add(qpair);
    this.group.addQpair(qpair);
    return qpair;
  }

  async prepareSecure(): Promise<void> {}

  async listen(address: TransportAddress): Promise<void> {
    if (address.trsvcid === '1') throw new Error('EACCES');
    this.listening.push(address);
  }
  async stopListening(address: TransportAddress): Promise<void> {
    this.listening.splice(
      this.listening.findIndex((other) => other.trsvcid === address.trsvcid),
      1,
    );
  }
  poll(): number {
    return 0;
  }
  flush(): number {
    return 0;
  }
  statistics(): Record<string, number> {
    return {};
  }
  async destroy(): Promise<void> {
    for (const qpair of [...this.qpairs]) {
      qpair.releaseKept();
      qpair.disconnect('the transport is destroyed');
    }
    while (this.qpairs.size > 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

export const fakeTransportType: NvmfTransportType = {
  trtype: 'TCP',
  create: (group, options) => new FakeTransport(group, options),
};
