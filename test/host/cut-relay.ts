/** A network between hosts and a target that can be cut: then no byte comes through any more, and nobody is told. */
import { createServer, connect as open, type Server, type Socket } from 'node:net';

const ADDRESS = '127.0.0.1';

export class CutRelay {
  /** Where hosts connect to. */
  readonly port: number;
  /** Connections that were made through it. */
  made = 0;
  /** Bytes of hosts that the target was sent. */
  passedToTarget = 0;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  /** Those of them whose peer is the target. */
  private readonly targets = new Set<Socket>();
  /** What has been cut stays so, also when the network is there again: TCP would take minutes to try once more. */
  private readonly cutOff = new WeakSet<Socket>();
  private down = false;

  /** Connections to the relay are connections to `port` of this machine. */
  static async start(port: number): Promise<CutRelay> {
    let relay: CutRelay;
    // Half of a connection may end alone, and what a side has sent before its end still arrives.
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (host) =>
      relay.join(host, port),
    );
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, ADDRESS, resolve);
    });
    relay = new CutRelay(server);
    return relay;
  }

  private constructor(server: Server) {
    this.server = server;
    const at = server.address();
    if (at === null || typeof at === 'string') throw new Error('the relay has no port');
    this.port = at.port;
  }

  private join(host: Socket, port: number): void {
    this.made++;
    // The system has accepted it before we could say no; a host that knocks at a cut network gets no further.
    const sides = this.down ? [host] : [host, open({ port, host: ADDRESS, allowHalfOpen: true })];
    for (const [i, side] of sides.entries()) {
      const other = sides[1 - i];
      this.sockets.add(side);
      if (i === 1) this.targets.add(side);
      side.setNoDelay(true);
      side.on('error', () => {});
      side.on('data', (bytes: Buffer) => {
        if (i === 0) this.passedToTarget += bytes.length;
        if (other?.write(bytes) === false) side.pause();
      });
      side.on('drain', () => {
        if (!this.cutOff.has(other!)) other?.resume();
      });
      side.on('end', () => {
        if (!this.cutOff.has(side)) other?.end();
      });
      side.on('close', () => {
        this.sockets.delete(side);
        this.targets.delete(side);
        if (!this.cutOff.has(side)) other?.destroy();
      });
    }
    if (this.down) this.cutOff.add(host);
    else host.resume();
  }

  /** Nothing of what the target sends arrives from now on, on connections that there are. */
  cutToHost(): void {
    this.stopTaking(this.targets);
  }

  /** Nothing of what is sent arrives from now on, neither data nor an end, on connections that there are or that come. */
  cut(): void {
    this.down = true;
    this.stopTaking(this.sockets);
  }

  private stopTaking(sockets: Iterable<Socket>): void {
    for (const side of sockets) {
      this.cutOff.add(side);
      side.pause();
    }
  }

  /** Connections that are made from now on come through. */
  mend(): void {
    this.down = false;
  }

  async stop(): Promise<void> {
    for (const side of this.sockets) side.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
