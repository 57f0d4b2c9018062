import {
  CNTLID_DYNAMIC,
  decodeReservationStatus,
  encodeReservationFields,
  encodeReservationKeys,
  nvmOpcode,
  type ReservationFields,
  type ReservationStatus,
} from '@spdk-ts/nvme-spec';
import type { TransportAddress } from '../src/qpair.ts';
import type { Completion, FakeQpair } from './fake-transport.ts';
import { ADDRESS, ENABLE, type Harness, SUBSYSTEM } from './harness.ts';

/** What a test host's identifiers end with. */
export const nqnOf = (number: number): string => `nqn.2014-08.org.nvmexpress:host${number}`;
export const hostidOf = (number: number): Uint8Array => new Uint8Array(16).fill(0xa0 + number);

/** One of several hosts: a controller with its admin queue on reactor 0 and an I/O queue on a reactor of its choice. */
export class TestHost {
  readonly harness: Harness;
  readonly admin: FakeQpair;
  readonly io: FakeQpair;

  static async connect(
    harness: Harness,
    number: number,
    {
      reactor = 0,
      address = ADDRESS,
      subnqn = SUBSYSTEM,
      asked = CNTLID_DYNAMIC,
    }: { reactor?: number; address?: TransportAddress; subnqn?: string; asked?: number } = {},
  ): Promise<TestHost> {
    const who = { subnqn, hostnqn: nqnOf(number), hostid: hostidOf(number) };
    const { qpair: admin, completion } = await harness.connect(0, { ...who, cntlid: asked }, 0, address);
    if (completion.status !== 0) throw new Error(`connect: ${completion.status.toString(16)}`);
    await harness.setCc(admin, ENABLE);
    const cntlid = completion.dw0 & 0xffff;
    const { qpair: io, completion: joined } = await harness.connect(1, { ...who, cntlid }, reactor, address);
    if (joined.status !== 0) throw new Error(`connect: ${joined.status.toString(16)}`);
    return new TestHost(harness, admin, io);
  }

  private constructor(harness: Harness, admin: FakeQpair, io: FakeQpair) {
    this.harness = harness;
    this.admin = admin;
    this.io = io;
  }

  /** Sends a reservation command; its CID. */
  send(opcode: number, nsid: number, fields: Partial<ReservationFields>, ...keys: bigint[]): number {
    const data = encodeReservationKeys(...keys);
    return this.io.send({ opcode, nsid, cdw10: encodeReservationFields(fields) }, { data });
  }

  private async status(cid: number): Promise<number> {
    return (await this.harness.completion(this.io, cid)).status;
  }

  register(nrkey: bigint, fields: Partial<ReservationFields> = {}, crkey = 0n, nsid = 1): Promise<number> {
    return this.status(this.send(nvmOpcode.reservationRegister, nsid, fields, crkey, nrkey));
  }
  acquire(crkey: bigint, fields: Partial<ReservationFields>, prkey = 0n, nsid = 1): Promise<number> {
    return this.status(this.send(nvmOpcode.reservationAcquire, nsid, fields, crkey, prkey));
  }
  release(crkey: bigint, fields: Partial<ReservationFields>, nsid = 1): Promise<number> {
    return this.status(this.send(nvmOpcode.reservationRelease, nsid, fields, crkey));
  }

  async report(nsid = 1, length = 4096): Promise<ReservationStatus> {
    const { status, data } = await this.harness.command(
      this.io,
      { opcode: nvmOpcode.reservationReport, nsid, cdw10: length / 4 - 1, cdw11: 1 },
      { length },
    );
    if (status !== 0) throw new Error(`report: ${status.toString(16)}`);
    return decodeReservationStatus(data);
  }

  /** The status of a read or write of block 0. */
  async read(nsid = 1): Promise<number> {
    return (await this.harness.command(this.io, { opcode: 2, nsid }, { length: 512 })).status;
  }
  async write(nsid = 1, value = 1): Promise<number> {
    const data = new Uint8Array(512).fill(value);
    return (await this.harness.command(this.io, { opcode: 1, nsid }, { data })).status;
  }

  /** Parks an Asynchronous Event Request; its CID. */
  aer(): number {
    return this.admin.send({ opcode: 0x0c });
  }
  /** The event that an Asynchronous Event Request has brought, or undefined. */
  async event(cid: number): Promise<number | undefined> {
    await this.harness.turns();
    return this.admin.take(cid)?.dw0;
  }

  getFeature(id: number, nsid: number): Promise<Completion> {
    return this.harness.command(this.admin, { opcode: 0x0a, nsid, cdw10: id });
  }
  async setFeature(id: number, nsid: number, value: number): Promise<number> {
    const fields = { opcode: 9, nsid, cdw10: id, cdw11: value };
    return (await this.harness.command(this.admin, fields)).status;
  }

  /** The NSIDs of the active namespace list. */
  async namespaces(): Promise<number[]> {
    const { data } = await this.harness.identify(this.admin, 2);
    return [...new Uint32Array(data.buffer, data.byteOffset, 1024)].filter((nsid) => nsid !== 0);
  }
  /** The NSIDs of the changed namespace list, which is empty then. */
  async changed(): Promise<number[]> {
    const { data } = await this.harness.logPage(this.admin, 4, 4096);
    return [...new Uint32Array(data.buffer, data.byteOffset, 1024)].filter((nsid) => nsid !== 0);
  }
}
