import type { Reactor } from '@spdk-ts/reactor';
import { PosixSockGroup, type Sock, type SockOwner } from '@spdk-ts/sock';
import { connectTls, type TlsKey } from '@spdk-ts/sock/tls';

/** A reactor's connections over TLS (TCP Transport 1.1, 3.6): Node.js's TLS makes them, beside those of the ring. */
export class SecureSocks {
  private readonly socks: PosixSockGroup;

  constructor(reactor: Reactor) {
    this.socks = new PosixSockGroup(reactor);
  }

  connect(traddr: string, trsvcid: number, key: TlsKey, owner: SockOwner, from: string): Sock {
    return this.socks.connectSecure(connectTls(traddr, trsvcid, key, from), traddr, trsvcid, owner);
  }

  poll(): number {
    return this.socks.poll();
  }
  flush(): number {
    return this.socks.flush();
  }
  destroy(): Promise<void> {
    return this.socks.destroy();
  }
}
