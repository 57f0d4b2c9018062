import type { Application } from '@spdk-ts/app';
import { invalidParams, RpcError, rpcCode } from '@spdk-ts/rpc';
import { type PerfOptions, parseIoSize, QUEUE_DEPTH_MAX, type TestSettings } from './options.ts';
import { NoJobsError, type TestResults, type Tests } from './tests.ts';
import { parseWorkload } from './workload.ts';

interface Params {
  readonly queue_depth?: number | undefined;
  readonly io_size?: string | undefined;
  readonly time_in_sec?: number | undefined;
  readonly rw_percentage?: number | undefined;
  readonly workload_type?: string | undefined;
}

function check<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw invalidParams(`${name}: ${(error as Error).message}`, name);
  }
}

/** Zero means "not given", as in SPDK. */
function settingsOf(params: Params, options: PerfOptions): Partial<TestSettings> {
  const { queue_depth, io_size, time_in_sec, rw_percentage, workload_type } = params;
  if (options.job_file !== null && (queue_depth || io_size || rw_percentage || workload_type))
    throw invalidParams('the jobs come from a job file (-j): only time_in_sec may be given');
  if (queue_depth !== undefined && queue_depth > QUEUE_DEPTH_MAX)
    throw invalidParams(`queue_depth is ${queue_depth}: ${QUEUE_DEPTH_MAX} is the limit`, 'queue_depth');
  if (rw_percentage !== undefined && rw_percentage > 100)
    throw invalidParams(`rw_percentage is ${rw_percentage}: it goes from 0 to 100`, 'rw_percentage');
  return {
    ...(queue_depth && { queue_depth }),
    ...(io_size && { io_size: check('io_size', () => parseIoSize(io_size)) }),
    ...(time_in_sec && { time_s: time_in_sec }),
    ...(rw_percentage !== undefined && { rw_percentage }),
    ...(workload_type && { workload: check('workload_type', () => parseWorkload(workload_type)) }),
  };
}

/**
 * Serves perform_tests. A test that failed is answered with an error that names the failure and carries the
 * results; `onFailure` is called then: like SPDK's, the application ends.
 */
export function registerPerformTests(
  { rpc, log }: Application,
  tests: Tests,
  options: PerfOptions,
  onFailure: () => void,
): void {
  rpc.register('perform_tests', async (params): Promise<TestResults> => {
    if (tests.running) {
      log.error('Another test is already in progress.');
      throw new RpcError(rpcCode.internalError, 'Operation now in progress: a test is running already');
    }
    const changes = settingsOf(params, options);
    const { outcome, results } = await tests.perform(changes).catch((error: Error) => {
      if (error instanceof RpcError) throw error;
      if (error instanceof NoJobsError) throw new RpcError(rpcCode.invalidParams, error.message);
      throw invalidParams(error.message);
    });
    if (outcome.failure === null || !outcome.stopped || outcome.terminated) return results;
    setImmediate(onFailure);
    throw new RpcError(
      rpcCode.internalError,
      `bdevperf failed with error Input/output error: ${outcome.failure}`,
      results,
    );
  });
}
