/** The bench that an address asks for. */
import type { Address, Bench } from './bench.ts';
import { PciBench } from './pci-bench.ts';
import { TcpBench } from './tcp-bench.ts';

export const startBench = (address: Address, seed: number): Promise<Bench> =>
  'endpoints' in address ? PciBench.start(address, seed) : TcpBench.start(address, seed);
