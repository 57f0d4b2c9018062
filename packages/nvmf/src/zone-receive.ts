import { type BdevChannel, type BdevIo, IoType, ZoneReport } from '@spdk-ts/bdev';
import {
  encodeZoneDescriptor,
  encodeZoneReportHeader,
  viewOf,
  ZONE_DESCRIPTOR_SIZE,
  ZONE_REPORT_HEADER_SIZE,
  ZONE_REPORT_PARTIAL,
  zoneReceiveAction,
  zoneReportOption,
  zoneState,
} from '@spdk-ts/nvme-spec';
import { isWritable, ZoneState } from '@spdk-ts/zones';
import { CommandSeries } from './command-series.ts';
import type { IoCommands } from './io-commands.ts';
import { slbaOf } from './io-fields.ts';
import { scatter } from './memory-queue.ts';
import type { NvmfRequest } from './request.ts';
import { Status } from './status.ts';
import type { NamespaceView } from './subsystem-view.ts';

/** Zones that the bdev is asked for at once. */
const ZONES_AT_ONCE = 512;

/** The command set's numbers for the bdev layer's states. */
const states: ReadonlyMap<number, number> = new Map([
  [ZoneState.EMPTY, zoneState.empty],
  [ZoneState.IMPLICIT_OPEN, zoneState.implicitlyOpened],
  [ZoneState.EXPLICIT_OPEN, zoneState.explicitlyOpened],
  [ZoneState.CLOSED, zoneState.closed],
  [ZoneState.FULL, zoneState.full],
  [ZoneState.READ_ONLY, zoneState.readOnly],
  [ZoneState.OFFLINE, zoneState.offline],
]);

/** The state that each reporting option is for. */
const wanted: ReadonlyMap<number, number> = new Map([
  [zoneReportOption.empty, ZoneState.EMPTY],
  [zoneReportOption.implicitlyOpened, ZoneState.IMPLICIT_OPEN],
  [zoneReportOption.explicitlyOpened, ZoneState.EXPLICIT_OPEN],
  [zoneReportOption.closed, ZoneState.CLOSED],
  [zoneReportOption.full, ZoneState.FULL],
  [zoneReportOption.readOnly, ZoneState.READ_ONLY],
  [zoneReportOption.offline, ZoneState.OFFLINE],
]);

/**
 * Zone Management Receive (Zoned Namespace Command Set 1.1, 3.4.2): a report of zones from the one that holds the starting
 * LBA. There are no descriptor extensions, so an extended report is refused.
 */
export function zoneReceive(commands: IoCommands, request: NvmfRequest, ns: NamespaceView): void {
  const cdw13 = request.cdw(13);
  const bytes = (request.cdw(12) + 1) * 4;
  const option = (cdw13 >>> 8) & 0xff;
  const slba = slbaOf(request);
  if ((cdw13 & 0xff) !== zoneReceiveAction.report || option > zoneReportOption.offline)
    commands.end(request, Status.INVALID_FIELD);
  else if (slba >= ns.channel.num_blocks) commands.end(request, Status.LBA_OUT_OF_RANGE);
  else if (bytes > request.qpair.maxIoSize || bytes < ZONE_REPORT_HEADER_SIZE)
    commands.end(request, Status.INVALID_FIELD);
  else if (request.length < bytes) commands.end(request, Status.SGL_LENGTH_INVALID);
  else if (commands.hasPlace(request))
    new Reporting(commands, request, ns, bytes, wanted.get(option)).begin();
}

class Reporting extends CommandSeries {
  private readonly channel: BdevChannel;
  private readonly zone_size: number;
  private readonly zones: number;
  private readonly partial: boolean;
  /** Zones in this state are told of; undefined: all. */
  private readonly state: number | undefined;
  private readonly report: ZoneReport;
  private readonly page: Uint8Array;
  private readonly view: DataView;
  /** Zone that is asked for next; those told of, and those of them that there was room for. */
  private zone: number;
  private found = 0;
  private written = 0;

  constructor(
    commands: IoCommands,
    request: NvmfRequest,
    ns: NamespaceView,
    bytes: number,
    state: number | undefined,
  ) {
    super(commands, request, 1);
    const { zone_size } = ns.channel.device.description;
    this.channel = ns.channel;
    this.zone_size = zone_size;
    this.zones = ns.channel.num_blocks / zone_size;
    this.zone = Math.floor(slbaOf(request) / zone_size);
    this.partial = (request.cdw(13) & ZONE_REPORT_PARTIAL) !== 0;
    this.state = state;
    this.report = new ZoneReport(Math.min(ZONES_AT_ONCE, this.zones - this.zone));
    this.page = new Uint8Array(bytes);
    this.view = viewOf(this.page);
  }

  private get isFull(): boolean {
    const end = ZONE_REPORT_HEADER_SIZE + (this.written + 1) * ZONE_DESCRIPTOR_SIZE;
    return end > this.page.length;
  }

  protected override next(): BdevChannel | null {
    return this.zone === this.zones || (this.partial && this.isFull) ? null : this.channel;
  }

  protected override setUp(io: BdevIo): void {
    const count = Math.min(this.report.capacity, this.zones - this.zone);
    this.report.clear();
    io.type = IoType.GET_ZONE_INFO;
    io.offset_blocks = this.zone * this.zone_size;
    io.num_blocks = count * this.zone_size;
    io.zones = this.report;
    this.zone += count;
  }

  protected override succeeded(): number {
    for (let at = 0; at < this.report.count; at++)
      if (this.state === undefined || this.report.state[at] === this.state) this.add(at);
    return Status.SUCCESS;
  }

  private add(at: number): void {
    if (this.isFull) {
      if (!this.partial) this.found++;
      return;
    }
    const { report } = this;
    const state = report.state[at]!;
    encodeZoneDescriptor(this.view, ZONE_REPORT_HEADER_SIZE + this.written * ZONE_DESCRIPTOR_SIZE, {
      zs: states.get(state)!,
      zcap: report.zone_capacity[at]!,
      zslba: report.zone_id[at]!,
      wp: isWritable(state) ? report.write_pointer[at]! : null,
    });
    this.found++;
    this.written++;
  }

  protected override ended(status: number): void {
    if (status !== Status.SUCCESS) return;
    encodeZoneReportHeader(this.view, 0, this.found);
    scatter(this.commands.group.reactor.regions, this.request, this.page);
  }
}
