import { describe, expect, it } from 'vitest';
import { parseAny } from './any.ts';
import { parseBdevperf, testsOf } from './bdevperf.ts';
import { parseFio } from './fio.ts';
import { parseNvmePerf } from './nvme-perf.ts';
import { percentileOf } from './percentiles.ts';

const bdevperf = `Running I/O for 1 seconds...
 26858816.00 IOPS, 13114.66 MiB/s\r
                                                                                                Latency(us)
\r Device Information          : runtime(s)       IOPS      MiB/s     Fail/s     TO/s    Average        min        max
Job: Null0 (Core Mask 0x2, workload: randread, depth: 32, IO size: 512)
\t Null0               :       1.00 26857590.84   13114.06       0.00     0.00       1.17       1.10     282.42
\r =========================================
\r Total                       :            26857590.84   13114.06       0.00     0.00       1.17       1.10     282.42

 Latency summary
\r =============================================
\r Job: Null0 (Core Mask 0x2)
  1.00000% :     1.128us
 50.00000% :     1.146us
 99.00000% :     1.196us
 99.90000% :     2.897us
 99.99000% :    32.344us

\r Latency histogram
\r Job: Null0 (Core Mask 0x2)
    1.097 -     1.104:    0.0012%  (      327)
    1.104 -     1.110:   99.9988%  ( 26857263)
`;

const twoJobs = `
\r Total                       :              30.00       0.12       2.00     0.00      12.41       2.59     326.59
 Latency summary
\r Job: A (Core Mask 0x1)
 50.00000% :     1.000us
 99.00000% :     1.000us

\r Job: B (Core Mask 0x2)
 50.00000% :     9.000us
 99.00000% :     9.000us

\r Latency histogram
\r Job: A (Core Mask 0x1)
    0.500 -     1.000:  100.0000%  (       20)

\r Job: B (Core Mask 0x2)
    1.500 -     2.000:   50.0000%  (        5)
    8.000 -     9.000:  100.0000%  (        5)
`;

const perf = `Initialization complete. Launching workers.
========================================================
                                                                                                      Latency(us)
Device Information                                                :       IOPS      MiB/s    Average        min        max
TCP (addr:127.0.0.1 subnqn:nqn.2026-11.io.x:c) NSID 1 from core  1:  646016.00    2523.50      49.52      40.18    1768.32
========================================================
Total                                                             :  646016.00    2523.50      49.52      40.18    1768.32

Summary latency data for TCP (addr:127.0.0.1 subnqn:nqn.2026-11.io.x from core 1:
=================================================================================
 50.00000% :    43.783us
 99.00000% :   145.942us
 99.90000% :   222.463us
`;

const direction = (total_ios: number, iops: number, mean: number) => ({
  ...{ total_ios, iops, bw_bytes: iops * 4096, runtime: 1000, lat_ns: { mean, max: mean * 2 } },
  clat_ns: { percentile: { '50.000000': 85504, '99.000000': 2039808, '99.900000': 6848512 } },
});
const job = { error: 0, job_runtime: 2000, usr_cpu: 10, sys_cpu: 40 };
const fio = (more: object): string => `fio: a warning\n${JSON.stringify({ jobs: [{ ...job, ...more }] })}\n`;

describe('bdevperf', () => {
  it('reads the total and the percentiles', () => {
    expect(parseBdevperf(bdevperf)).toEqual({
      failed_per_s: 0,
      metrics: {
        ...{ iops: 26857590.84, mibps: 13114.06, latency_us_average: 1.17, latency_us_max: 282.42 },
        ...{ latency_us_p50: 1.146, latency_us_p99: 1.196, latency_us_p999: 2.897 },
      },
    });
  });

  it('reckons the percentiles of several jobs from their histograms', () => {
    const measured = parseBdevperf(twoJobs)!;
    expect(measured.failed_per_s).toBe(2);
    expect(measured.metrics).toMatchObject({ latency_us_p50: 1, latency_us_p99: 9, latency_us_p999: 9 });
  });

  it('tells the tests of one process apart', () => {
    const tests = testsOf(`Starting\n${bdevperf}${bdevperf.replaceAll('26857590.84', '5.00')}`);
    expect(tests.map((test) => parseBdevperf(test)!.metrics.iops)).toEqual([26857590.84, 5]);
  });

  it('does not take anything else for it', () => {
    expect(parseBdevperf(perf)).toBeNull();
    expect(parseBdevperf('')).toBeNull();
  });
});

describe('spdk_nvme_perf', () => {
  it('reads the total and the percentiles', () => {
    expect(parseNvmePerf(perf)!.metrics).toEqual({
      ...{ iops: 646016, mibps: 2523.5, latency_us_average: 49.52, latency_us_max: 1768.32 },
      ...{ latency_us_p50: 43.783, latency_us_p99: 145.942, latency_us_p999: 222.463 },
    });
  });

  it('adds the doorbell traps of all queues in memory, and knows of none where none are counted', () => {
    const lane = (submitted: number, trapped: number): string =>
      `\tsubmitted_requests: ${submitted}\n\ttrapped_doorbells:  ${trapped} (1.0 per thousand commands)\n`;
    const { metrics } = parseNvmePerf(`${lane(3000, 150)}${lane(1000, 50)}\n${perf}`)!;
    expect(metrics.traps_per_1000).toBe(50);
    expect(parseNvmePerf(`\tsubmitted_requests: 3\n${perf}`)!.metrics).not.toHaveProperty('traps_per_1000');
  });
});

describe('fio', () => {
  it('reads a mixed report with its CPU time', () => {
    expect(parseFio(fio({ mixed: direction(1000, 1000, 5000) }))).toEqual({
      failed_per_s: 0,
      metrics: {
        ...{ iops: 1000, mibps: 3.90625, latency_us_average: 5, latency_us_max: 10 },
        ...{ latency_us_p50: 85.504, latency_us_p99: 2039.808, latency_us_p999: 6848.512 },
        ...{ cpu_user: 0.2, cpu_system: 0.8, cpu: 1 },
      },
    });
  });

  it('adds reads and writes, and gives no percentiles of both', () => {
    const { metrics } = parseFio(fio({ read: direction(300, 300, 1000), write: direction(100, 100, 5000) }))!;
    expect(metrics.iops).toBe(400);
    expect(metrics.latency_us_average).toBe(2);
    expect(metrics.latency_us_p99).toBeUndefined();
  });

  it('leaves out a direction without I/O', () => {
    const { metrics } = parseFio(fio({ read: direction(300, 300, 1000), write: direction(0, 0, 0) }))!;
    expect(metrics.latency_us_p50).toBe(85.504);
    expect(parseFio(fio({ read: direction(0, 0, 0) }))).toBeNull();
  });
});

describe('any output', () => {
  it('finds out what it is', () => {
    expect(parseAny(perf).metrics.iops).toBe(646016);
    expect(parseAny(bdevperf).metrics.iops).toBe(26857590.84);
    expect(parseAny(fio({ mixed: direction(1, 7, 1) })).metrics.iops).toBe(7);
    expect(() => parseAny('one\ntwo')).toThrow(/it ends:\none\ntwo/);
  });

  it('knows percentiles of unordered buckets', () => {
    const buckets = [
      { end_us: 9, count: 1 },
      { end_us: 1, count: 98 },
      { end_us: 5, count: 1 },
    ];
    expect([0.5, 0.98, 0.99, 0.999].map((share) => percentileOf(buckets, share))).toEqual([1, 1, 5, 9]);
    expect(percentileOf([], 0.5)).toBeNull();
  });
});
