import { describe, expect, it } from 'vitest';
import { type BdevFacts, type JobConfig, placeConfigs, planJobs } from './job-config.ts';
import { type JobOverrides, parseJobFile } from './job-file.ts';

const nothing: JobOverrides = {
  bdevs: [],
  io_size: null,
  queue_depth: null,
  rw_percentage: null,
  workload: null,
};
const parse = (text: string, overrides: Partial<JobOverrides> = {}): JobConfig[] =>
  parseJobFile(text, 'jobs.ini', { ...nothing, ...overrides });

const file = `
# two jobs
[global]
filename=Malloc0:Malloc1
iodepth=16
bs=4k
rw=randrw

[reader]
rw=read
cpumask=0x1

[mixed]
; the other core
cpumask=[1]
rwmixread=70
offset=128
length=256
filename="Malloc2"
`;

describe('job file', () => {
  it('takes what a section does not say from [global]', () => {
    expect(parse(file)).toEqual([
      {
        ...{ name: 'reader', bdevs: ['Malloc0', 'Malloc1'], cores: [0], io_size: 4096, queue_depth: 16 },
        ...{ workload: 'read', rw_percentage: 50, offset_blocks: 0, length_blocks: 0 },
      },
      {
        ...{ name: 'mixed', bdevs: ['Malloc2'], cores: [1], io_size: 4096, queue_depth: 16 },
        ...{ workload: 'randrw', rw_percentage: 70, offset_blocks: 128, length_blocks: 256 },
      },
    ]);
  });

  it('begins anew at each [global]', () => {
    const jobs = parse(
      '[global]\nfilename=A\niodepth=1\nbs=512\nrw=read\n[a]\n[global]\nfilename=B\nbs=1k\niodepth=2\nrw=write\n[b]',
    );
    expect(jobs.map(({ bdevs, queue_depth, workload }) => [bdevs[0], queue_depth, workload])).toEqual([
      ['A', 1, 'read'],
      ['B', 2, 'write'],
    ]);
    expect(() =>
      parse('[global]\nfilename=A\niodepth=1\nbs=512\nrw=read\n[a]\n[global]\nbs=1k\n[b]'),
    ).toThrow("jobs.ini:9: job [b] has no 'filename'");
  });

  it('lets the command line win over [global], and a section over it', () => {
    const [reader, mixed] = parse(file, { queue_depth: 99, workload: 'write', bdevs: ['X'] });
    expect(reader).toMatchObject({ queue_depth: 99, workload: 'read', bdevs: ['X'] });
    expect(mixed).toMatchObject({ queue_depth: 99, workload: 'write', bdevs: ['Malloc2'] });
  });

  it('names file, line and key of what is wrong', () => {
    expect(() => parse('[a]\nbs=x')).toThrow("jobs.ini:2: bs of [a]: 'x' is not a size");
    expect(() => parse('[a]\nrw=sideways')).toThrow("rw of [a]: 'sideways' is not one of read, write");
    expect(() => parse('[a]\niodepth=0')).toThrow("'0' is not an integer from 1 to");
    expect(() => parse('[a]\nrwmixread=101')).toThrow('from 0 to 100');
    expect(() => parse('[a]\nsize=1')).toThrow("there is no key 'size'; there are filename, cpumask");
    expect(() => parse('bs=1k')).toThrow("'bs' stands before the first [section]");
    expect(() => parse('[a]\n???')).toThrow('jobs.ini:2');
    expect(() => parse('[a]\nfilename=A\nbs=1k\nrw=read')).toThrow("job [a] has no 'iodepth'");
    expect(() => parse('[global]\nbs=1k')).toThrow('there is no job in it');
  });
});

const parameters = { queue_depth: 4, io_size: 512, workload: 'read', rw_percentage: 100 } as const;
const bdev = (name: string, num_blocks = 1000): BdevFacts => ({ id: 1, name, block_size: 512, num_blocks });

describe('placement', () => {
  it('puts one job of each bdev on the cores in turn', () => {
    const configs = planJobs([bdev('A'), bdev('B'), bdev('C')], [1, 3], false, parameters);
    expect(configs.map(({ name, cores }) => [name, cores])).toEqual([
      ['A', [1]],
      ['B', [3]],
      ['C', [1]],
    ]);
    expect(placeConfigs(configs, [1, 3])).toEqual([1, 3, 1]);
  });

  it('gives each core its share of each bdev with -C', () => {
    const configs = planJobs([bdev('A', 1001), bdev('B')], [0, 1], true, parameters);
    expect(
      configs.map(({ name, cores, offset_blocks, length_blocks }) => [
        name,
        cores[0],
        offset_blocks,
        length_blocks,
      ]),
    ).toEqual([
      ['A', 0, 0, 500],
      ['A', 1, 500, 500],
      ['B', 0, 0, 500],
      ['B', 1, 500, 500],
    ]);
  });

  it('spreads jobs that may run anywhere, and minds those that may not', () => {
    const job = (name: string, cores: number[]): JobConfig => ({
      ...{ name, bdevs: ['A'], cores, ...parameters, offset_blocks: 0, length_blocks: 0 },
    });
    expect(placeConfigs([job('a', []), job('b', []), job('c', []), job('d', [0])], [0, 1])).toEqual([
      0, 1, 0, 0,
    ]);
    expect(() => placeConfigs([job('a', [5])], [0, 1])).toThrow(
      "job 'a' is to run on core 5, but -m has only 0,1",
    );
  });
});
