import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addPerfOptions, type PerfOptions, readPerfOptions, resolveTest } from './options.ts';

function parse(...args: string[]): PerfOptions {
  const command = addPerfOptions(new Command('bdevperf-ts'))
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  command.parse(args, { from: 'user' });
  return readPerfOptions(command.opts());
}

describe('options', () => {
  it("reads SPDK's letters", () => {
    const options = parse(
      ...[
        '-q',
        '32',
        '-o',
        '4k',
        '-w',
        'randrw',
        '-M',
        '70',
        '-t',
        '3',
        '-k',
        '2',
        '-X',
        '-S',
        '1',
        '-P',
        '5',
      ],
      ...['-f', '-F', '0.9', '-Z', '-z', '-C', '-ll', '-U', '-T', 'A', '-T', 'B', '--bdev', 'null:1M'],
    );
    expect(options).toMatchObject({
      test: { queue_depth: 32, io_size: 4096, workload: 'randrw', rw_percentage: 70, time_s: 3 },
      ...{ timeout_s: 2, abort: true, show_period_s: 1, moving_average: 5, continue_on_failure: true },
      ...{
        zipf_theta: 0.9,
        zcopy: true,
        wait: true,
        every_core: true,
        latency_level: 2,
        unique_writes: true,
      },
      ...{ targets: ['A', 'B'], bdevs: [{ kind: 'null', size: 2 ** 20 }] },
    });
    expect(parse('-o4096', '-l').latency_level).toBe(1);
  });

  it('accepts and explains what means nothing here', () => {
    expect(parse('-H', '-J', 'log').explained).toHaveLength(2);
    expect(parse('-N')).toMatchObject({ hide_metadata: true, explained: [] });
    expect(parse('-X').explained[0]).toContain('without -k');
    expect(parse('-X').abort).toBe(false);
    expect(parse().explained).toEqual([]);
  });

  it('refuses wrong values', () => {
    expect(() => parse('-q', '0')).toThrow('the depth is an integer from 1');
    expect(() => parse('-q', 'many')).toThrow('the depth is an integer');
    expect(() => parse('-o', '4x')).toThrow("'4x' is not a size");
    expect(() => parse('-o', '4G')).toThrow('more than 1G');
    expect(() => parse('-w', 'dance')).toThrow("'dance' is not one of read, write");
    expect(() => parse('-M', '101')).toThrow('from 0 to 100');
    expect(() => parse('-F', 'x')).toThrow('theta');
    expect(() => parse('--bdev', 'x')).toThrow('malloc:SIZE');
  });

  it('refuses what excludes each other', () => {
    expect(() => parse('-j', 'f', '-E')).toThrow('-E cannot be used with a job file');
    expect(() => parse('-P', '3')).toThrow('-P needs -S');
    expect(() => parse('-D', '-F', '1')).toThrow('exclude each other');
  });

  it('fills in what is not given and says so', () => {
    const options = parse();
    const test = resolveTest(options.test, options);
    expect(test.parameters).toEqual({
      queue_depth: 128,
      io_size: 4096,
      workload: 'randread',
      rw_percentage: 100,
    });
    expect(test.said).toEqual(['Not given, so: -w randread -q 128 -o 4k -t 5']);
    const all = parse('-q', '1', '-o', '512', '-w', 'rw', '-t', '1');
    expect(resolveTest(all.test, all).said).toEqual(['Not given, so: -M 50']);
  });

  it('says what does not fit the workload', () => {
    const options = parse('-w', 'read', '-M', '50', '-q', '1', '-o', '1k', '-t', '1');
    expect(resolveTest(options.test, options).said).toEqual([
      '-M is ignored: it is for rw and randrw only, not read',
    ]);
    const map = parse('-D', '-w', 'verify');
    expect(() => resolveTest(map.test, map)).toThrow('-D is for randread');
  });
});
