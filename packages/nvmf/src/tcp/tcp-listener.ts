import type { AcceptedSock, SockAcceptor, SockListener } from '@spdk-ts/sock';
import type { TransportAddress } from '../qpair.ts';
import { AdoptFlag } from './reactor-hub.ts';

/** What becomes of a connection that a listener has accepted. */
export type PlaceConnection = (sock: AcceptedSock, listener: TcpListener) => void;

export const TRTYPE = 'TCP';

function isAnyAddress(traddr: string): boolean {
  return /^[0:.]+$/.test(traddr);
}

/** The address that a subsystem's listener has, for a connection to `local`. */
export function listenAddress(
  local: { adrfam: string; traddr: string; trsvcid: string },
  any: boolean,
): TransportAddress {
  const traddr = any ? (local.adrfam === 'IPv6' ? '::' : '0.0.0.0') : local.traddr;
  return { trtype: TRTYPE, adrfam: local.adrfam, traddr, trsvcid: local.trsvcid };
}

export function sameAddress(a: TransportAddress, b: TransportAddress): boolean {
  return a.traddr === b.traddr && a.trsvcid === b.trsvcid;
}

export function flagsOf({ anyAddress, secure }: TcpListener): number {
  return (anyAddress ? AdoptFlag.ANY_ADDRESS : 0) | (secure ? AdoptFlag.SECURE : 0);
}

/** One address that this reactor accepts connections at. */
export class TcpListener implements SockAcceptor {
  readonly id: number;
  readonly address: TransportAddress;
  readonly anyAddress: boolean;
  readonly secure: boolean;
  sock: SockListener | null = null;
  private readonly place: PlaceConnection;

  constructor(id: number, address: TransportAddress, secure: boolean, place: PlaceConnection) {
    this.id = id;
    this.secure = secure;
    this.address = address;
    this.anyAddress = isAnyAddress(address.traddr);
    this.place = place;
  }

  sockAccepted(sock: AcceptedSock): void {
    this.place(sock, this);
  }
}
