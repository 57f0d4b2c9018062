import { resolve } from 'node:path';
import type { BdevEvent, BdevRegistry } from '@spdk-ts/bdev';
import { Logger } from '@spdk-ts/log';
import type { ReactorHost } from '@spdk-ts/reactor';
import { invalidParams } from '@spdk-ts/rpc';
import { type NamespaceParams, openNamespace } from './namespaces-control.ts';
import type { NamespaceRecord, Subsystem } from './subsystem.ts';

/**
 * Changes of namespaces while hosts look on. Each is made with the subsystem's other changes held back, as
 * {@link Subsystem.serialize} does. Refusals are RPC errors.
 */
export class Namespaces {
  private readonly host: ReactorHost;
  private readonly bdevs: BdevRegistry;
  private readonly subsystems: ReadonlyMap<string, Subsystem>;
  private readonly log = new Logger('nvmf');

  constructor(host: ReactorHost, bdevs: BdevRegistry, subsystems: ReadonlyMap<string, Subsystem>) {
    this.host = host;
    this.bdevs = bdevs;
    this.subsystems = subsystems;
  }

  /** The namespace of an NSID. Throws an RPC error -32602. */
  private record(subsystem: Subsystem, nsid: number): NamespaceRecord {
    const found = subsystem.namespaces.get(nsid);
    if (found === undefined)
      throw invalidParams(`nsid: subsystem ${subsystem.nqn} has no namespace ${nsid}`, 'nsid');
    return found;
  }

  /**
   * Every reactor takes a subsystem as it is now; only then are hosts told of what has changed, as they may come
   * back for it on any reactor.
   */
  async apply(subsystem: Subsystem): Promise<void> {
    await this.host.broadcast('nvmf', 'setSubsystem', subsystem.snapshot());
    await this.host.broadcast('nvmf', 'announce', { id: subsystem.id });
  }

  /** Returns the NSID. */
  async add(subsystem: Subsystem, params: NamespaceParams): Promise<number> {
    this.checkPtplFile(params.ptpl_file);
    const record = openNamespace(this.bdevs, subsystem, params, (nsid, event) =>
      this.bdevEvent(subsystem, nsid, event),
    );
    try {
      await record.reservations.restore();
    } catch (error) {
      await record.descriptor.close();
      throw invalidParams(
        `namespace.ptpl_file ${params.ptpl_file} cannot be used: ${(error as Error).message}; ` +
          'mend it, or remove it to begin without reservations',
        'namespace.ptpl_file',
      );
    }
    subsystem.namespaces.set(record.nsid, record);
    subsystem.ana_chgcnt++;
    try {
      await this.apply(subsystem);
    } catch (error) {
      await this.take(subsystem, record);
      const { message } = error as Error;
      throw invalidParams(`namespace.bdev_name ${params.bdev_name} cannot be used: ${message}`);
    }
    return record.nsid;
  }

  /** Two namespaces that keep their reservations in one file would overwrite each other's. */
  private checkPtplFile(ptpl_file: string | undefined): void {
    if (ptpl_file === undefined) return;
    for (const { nqn, namespaces } of this.subsystems.values())
      for (const { nsid, reservations } of namespaces.values())
        if (reservations.file !== undefined && resolve(reservations.file) === resolve(ptpl_file))
          throw invalidParams(
            `namespace.ptpl_file ${ptpl_file} is that of namespace ${nsid} of subsystem ${nqn}: give another`,
            'namespace.ptpl_file',
          );
  }

  async remove(subsystem: Subsystem, nsid: number): Promise<void> {
    await this.take(subsystem, this.record(subsystem, nsid));
  }

  /** Its I/O ends, new I/O waits, that of other namespaces goes on; then it is gone. */
  private async take(subsystem: Subsystem, record: NamespaceRecord): Promise<void> {
    const which = { id: subsystem.id, nsid: record.nsid };
    await this.host.broadcast('nvmf', 'pause', which);
    try {
      subsystem.namespaces.delete(record.nsid);
      subsystem.ana_chgcnt++;
      await this.apply(subsystem);
    } finally {
      await this.host.broadcast('nvmf', 'resume', which);
    }
    await this.release(record);
  }

  private async release(record: NamespaceRecord): Promise<void> {
    // A command may still write the file that the next namespace is to read.
    await record.reservations.settled();
    await record.descriptor.close();
  }

  /** The bdev behind a namespace is removed or has another size. */
  private bdevEvent(subsystem: Subsystem, nsid: number, event: BdevEvent): void {
    const done = subsystem.serialize(async () => {
      const record = subsystem.namespaces.get(nsid);
      if (record === undefined || subsystem.ending) return;
      if (event === 'resize') await this.apply(subsystem);
      else {
        const { name } = record.descriptor.description;
        this.log.notice(`subsystem ${subsystem.nqn}: namespace ${nsid} goes with its bdev ${name}`);
        await this.take(subsystem, record);
      }
    });
    done.catch((error: Error) =>
      this.log.error(`subsystem ${subsystem.nqn}: namespace ${nsid}: ${error.message}`),
    );
  }

  /** The reactors have none of them any more. */
  async close(subsystem: Subsystem): Promise<void> {
    for (const record of subsystem.namespaces.values()) await this.release(record);
    subsystem.namespaces.clear();
  }

  /** Shows a namespace to a host, or hides it: when this resolves, no command of the host at it is under way. */
  async setVisible(subsystem: Subsystem, nsid: number, host: string, visible: boolean): Promise<void> {
    const { hosts, no_auto_visible } = this.record(subsystem, nsid);
    if (!no_auto_visible)
      throw invalidParams(
        `nsid: namespace ${nsid} is visible to every host; add it with no_auto_visible to choose them`,
        'nsid',
      );
    if (hosts.has(host) === visible) return;
    if (visible) hosts.add(host);
    else hosts.delete(host);
    await this.apply(subsystem);
    if (visible) return;
    const left = (await this.host.broadcast('nvmf', 'fence', { id: subsystem.id, nsid })) as number[];
    if (left.some((count) => count > 0))
      this.log.warn(`subsystem ${subsystem.nqn}: namespace ${nsid}: I/O of ${host} does not end`);
  }

  async setAnaGroup(subsystem: Subsystem, nsid: number, anagrpid: number): Promise<void> {
    const record = this.record(subsystem, nsid);
    const { max_namespaces, ana_reporting } = subsystem.options;
    if (!ana_reporting)
      throw invalidParams(
        `nqn: subsystem ${subsystem.nqn} does not report ANA; create it with ana_reporting`,
        'nqn',
      );
    if (anagrpid < 1 || anagrpid > max_namespaces)
      throw invalidParams(`anagrpid is ${anagrpid}: give 1 to ${max_namespaces}`, 'anagrpid');
    if (record.anagrpid === anagrpid) return;
    record.anagrpid = anagrpid;
    subsystem.ana_chgcnt++;
    await this.apply(subsystem);
  }
}
