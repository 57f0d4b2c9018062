import type { CommandSender, Connection, Namespace, NamespaceInfo } from '@spdk-ts/nvme';
import type { ControllerCapabilities, IdentifyController } from '@spdk-ts/nvme-spec';

/** What is known of a controller. Null: not of one of this machine, which the kernel's driver hides. */
export interface About {
  readonly title: string;
  readonly place: object;
  readonly cntlid: number;
  readonly version: number;
  readonly num_io_queues: number | null;
  readonly max_transfer_bytes: number;
  readonly capabilities: ControllerCapabilities | null;
  readonly controller: IdentifyController;
}

/** What verbs work on: a controller that is connected, or a device of this machine. */
export interface Device {
  /** The connection, or null for a device of this machine. */
  readonly remote: Connection | null;
  readonly admin: CommandSender;
  readonly io: CommandSender;
  readonly namespaces: readonly NamespaceInfo[];
  namespace(nsid: number): Namespace;
  identify(): Promise<IdentifyController>;
  about(): About;
  close(): Promise<void>;
}

/** A connection as verbs see it. */
export class RemoteDevice implements Device {
  readonly remote: Connection;

  constructor(connection: Connection) {
    this.remote = connection;
  }

  get admin(): CommandSender {
    return this.remote.admin;
  }
  get io(): CommandSender {
    return this.remote.io;
  }
  get namespaces(): readonly NamespaceInfo[] {
    return this.remote.namespaces;
  }
  namespace(nsid: number): Namespace {
    return this.remote.namespace(nsid);
  }
  identify(): Promise<IdentifyController> {
    return this.remote.identify();
  }

  about(): About {
    const { cap, version, cntlid, num_io_queues, transfer_bytes, target, identify } = this.remote.controller;
    const { traddr, trsvcid, subnqn } = target.trid;
    return {
      title: `NVMe over Fabrics controller at ${traddr}:${trsvcid}: ${subnqn}`,
      place: { transport_id: target.trid },
      ...{ cntlid, version, num_io_queues, max_transfer_bytes: transfer_bytes, capabilities: cap },
      controller: identify,
    };
  }

  close(): Promise<void> {
    return this.remote.close();
  }
}
