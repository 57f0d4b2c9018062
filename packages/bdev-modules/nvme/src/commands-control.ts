import { BdevError, Errno } from '@spdk-ts/bdev';
import { type CommandFields, type Completion, describeStatus, type TransportStatistics } from '@spdk-ts/nvme';
import {
  adminOpcode,
  dataTransfer,
  lid,
  logPageDwords,
  NSID_ALL,
  opcodeDataTransfer,
  smartLog,
} from '@spdk-ts/nvme-spec';
import type { ReactorHost } from '@spdk-ts/reactor';
import { errnoError } from '@spdk-ts/rpc';
import type { NvmeControllers } from './controllers-control.ts';

const SQE_BYTES = 64;
const CQE_BYTES = 16;
const DATA_MAX = 128 * 1024;
/** 0 °C, in K as the SMART log has it. */
const FREEZING = 273;

interface SendCall {
  readonly name: string;
  readonly cmd_type: 'admin' | 'io';
  readonly data_direction: 'h2c' | 'c2h';
  readonly cmdbuf: string;
  readonly data?: string;
  readonly metadata?: string;
  readonly data_len?: number;
  readonly metadata_len?: number;
  readonly timeout_ms?: number;
}

interface InjectCall {
  readonly name: string;
  readonly cmd_type: 'admin' | 'io';
  readonly opc: number;
  readonly do_not_submit?: boolean;
  readonly timeout_in_us?: number;
  readonly err_count?: number;
  readonly sct?: number;
  readonly sc?: number;
}

const invalid = (explanation: string): BdevError => new BdevError(Errno.EINVAL, explanation);

/** Reads bytes of base64url. Throws BdevError EINVAL that names the parameter. */
function decode(parameter: string, text: string): Buffer {
  if (!/^[\w-]*={0,2}$/.test(text)) throw invalid(`${parameter} is not base64url`);
  return Buffer.from(text, 'base64url');
}

/** The fields of a submission queue entry that are the sender's. */
function fieldsOf(cmdbuf: Buffer): CommandFields {
  if (cmdbuf.length !== SQE_BYTES)
    throw invalid(`cmdbuf has ${cmdbuf.length} bytes: a submission queue entry has ${SQE_BYTES}`);
  const dword = (index: number): number => cmdbuf.readUInt32LE(index * 4);
  return {
    ...{ opcode: cmdbuf[0]!, fuse: cmdbuf[1]! & 3, nsid: dword(1), cdw2: dword(2), cdw3: dword(3) },
    ...{ cdw10: dword(10), cdw11: dword(11), cdw12: dword(12) },
    ...{ cdw13: dword(13), cdw14: dword(14), cdw15: dword(15) },
  };
}

/** A completion queue entry: what of it the host library knows. */
function encodeCompletion({ status, dw0, dw1 }: Completion): string {
  const bytes = Buffer.alloc(CQE_BYTES);
  bytes.writeUInt32LE(dw0, 0);
  bytes.writeUInt32LE(dw1, 4);
  bytes.writeUInt16LE((status << 1) & 0xffff, 14);
  return bytes.toString('base64url');
}

/** Calls about single commands of controllers, on the control thread. */
export class NvmeCommands {
  private readonly host: ReactorHost;
  private readonly controllers: NvmeControllers;

  constructor(host: ReactorHost, controllers: NvmeControllers) {
    this.host = host;
    this.controllers = controllers;
  }

  /** Asks the first controller of a name: any path leads to the same subsystem. */
  private ask(name: string, method: string, params: object): Promise<unknown> {
    return this.controllers.controllersOf(name)[0]!.ask(method, params);
  }

  /** Tells every path of a controller, about its admin queue or its I/O queues. */
  private async tellAll(
    name: string,
    admin: string,
    io: string,
    cmd_type: string,
    params: object,
  ): Promise<void> {
    for (const entry of this.controllers.controllersOf(name))
      if (cmd_type === 'admin') await entry.ask(admin, params);
      else await this.host.broadcast('bdev_nvme', io, { controller: entry.id, ...params });
  }

  /** bdev_nvme_send_cmd. Rejects with BdevError EINVAL for what cannot be sent, or RPC error -110. */
  async send(call: SendCall): Promise<{ cpl: string; data?: string }> {
    const {
      name,
      cmd_type,
      data_direction,
      data,
      data_len = 0,
      metadata,
      metadata_len = 0,
      timeout_ms = 0,
    } = call;
    const fields = fieldsOf(decode('cmdbuf', call.cmdbuf));
    if (metadata !== undefined || metadata_len > 0)
      throw invalid('metadata cannot be apart from the data over TCP: give them interleaved');
    const out = data === undefined ? null : decode('data', data);
    if (out !== null && data_direction !== 'h2c')
      throw invalid('data is given, and data_direction is not h2c');
    if (data_len > 0 && data_direction !== 'c2h')
      throw invalid(`data_len is ${data_len}, and data_direction is not c2h`);
    if (Math.max(data_len, out?.length ?? 0) > DATA_MAX)
      throw invalid(`there may be ${DATA_MAX} bytes of data at most`);
    const wanted = out !== null ? dataTransfer.hostToController : dataTransfer.controllerToHost;
    const told = opcodeDataTransfer(fields.opcode, fields.nsid ?? 0);
    if ((out !== null || data_len > 0) && told !== wanted && told !== dataTransfer.bidirectional)
      throw invalid(`cmdbuf: opcode ${fields.opcode} has its data go the other way, or has none`);
    const way =
      out !== null
        ? { out: new Uint8Array(out) }
        : { ...(data_len > 0 && { in: data_len, may_be_short: true }) };
    const sent = this.ask(name, 'send', { io: cmd_type === 'io', fields, data: way }) as Promise<Completion>;
    const completion = await within(sent, timeout_ms);
    return {
      cpl: encodeCompletion(completion),
      ...(data_len > 0 && { data: Buffer.from(completion.data).toString('base64url') }),
    };
  }

  /** bdev_nvme_add_error_injection. */
  async inject(call: InjectCall): Promise<void> {
    const {
      name,
      cmd_type,
      opc,
      do_not_submit = false,
      timeout_in_us = 0,
      err_count = 1,
      sct = 0,
      sc = 0,
    } = call;
    if (sct > 7) throw invalid(`sct is ${sct}: status code types are 0 to 7`);
    const fault = { opcode: opc, do_not_submit, timeout_us: timeout_in_us, err_count, sct, sc };
    await this.tellAll(name, 'injectAdmin', 'injectIo', cmd_type, { fault });
  }

  /** bdev_nvme_remove_error_injection. */
  async removeInjection({ name, cmd_type, opc: opcode }: InjectCall): Promise<void> {
    await this.tellAll(name, 'removeAdmin', 'removeIo', cmd_type, { opcode });
  }

  /** bdev_nvme_get_controller_health_info: the SMART / Health Information log page. */
  async health(name: string) {
    const { info, target } = this.controllers.controllersOf(name)[0]!;
    const fields = {
      ...{ opcode: adminOpcode.getLogPage, nsid: NSID_ALL },
      ...logPageDwords(lid.smart, smartLog.size, 0, {}),
    };
    const data = { in: smartLog.size, what: 'Get Log Page 02h' };
    const completion = (await this.ask(name, 'send', { io: false, fields, data })) as Completion;
    if (completion.status !== 0)
      throw new BdevError(Errno.EIO, `Get Log Page 02h failed: ${describeStatus(completion.status)}`);
    const smart = smartLog.decode(completion.data);
    return {
      model_number: info.mn.trim(),
      serial_number: info.sn.trim(),
      firmware_revision: info.fr.trim(),
      traddr: target.trid.traddr,
      critical_warning: smart.criticalWarning,
      temperature_celsius: smart.compositeTemperature - FREEZING,
      available_spare_percentage: smart.availableSpare,
      available_spare_threshold_percentage: smart.availableSpareThreshold,
      percentage_used: smart.percentageUsed,
      data_units_read: Number(smart.dataUnitsRead),
      data_units_written: Number(smart.dataUnitsWritten),
      host_read_commands: Number(smart.hostReadCommands),
      host_write_commands: Number(smart.hostWriteCommands),
      controller_busy_time: Number(smart.controllerBusyTime),
      power_cycles: Number(smart.powerCycles),
      power_on_hours: Number(smart.powerOnHours),
      unsafe_shutdowns: Number(smart.unsafeShutdowns),
      media_errors: Number(smart.mediaErrors),
      num_err_log_entries: Number(smart.errorLogEntries),
      warning_temperature_time_minutes: smart.warningTemperatureTime,
      critical_composite_temperature_time_minutes: smart.criticalTemperatureTime,
    };
  }

  /** bdev_nvme_get_transport_statistics. */
  async transportStatistics() {
    const all = (await this.host.broadcast('bdev_nvme', 'transportStatistics')) as ({
      thread: string;
      statistics: TransportStatistics;
    } | null)[];
    return {
      poll_groups: all.flatMap((one) =>
        one === null ? [] : [{ thread: one.thread, transports: [{ trname: 'TCP', ...one.statistics }] }],
      ),
    };
  }
}

/** Rejects with RPC error -110 if it takes longer; 0: as long as it likes. */
async function within<T>(promise: Promise<T>, timeout_ms: number): Promise<T> {
  if (timeout_ms === 0) return await promise;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = errnoError('ETIMEDOUT', `the command has not ended within ${timeout_ms} ms: it goes on`);
    timer = setTimeout(() => reject(error), timeout_ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => {});
  }
}
