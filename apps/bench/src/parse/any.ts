import { type Measured, parseBdevperf } from './bdevperf.ts';
import { parseFio } from './fio.ts';
import { parseNvmePerf } from './nvme-perf.ts';

/**
 * Reads the output of a program that is bdevperf, spdk_nvme_perf or fio, or prints as one of them does. Throws an
 * Error that shows the end of the output if it is none.
 */
export function parseAny(output: string): Measured {
  const measured = parseFio(output) ?? parseBdevperf(output) ?? parseNvmePerf(output);
  if (measured !== null) return measured;
  const end = output.trimEnd().split('\n').slice(-5).join('\n');
  throw new Error(
    `the output is not that of bdevperf, spdk_nvme_perf or fio --output-format=json; it ends:\n${end || '(nothing)'}`,
  );
}
