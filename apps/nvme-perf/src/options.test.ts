import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import { expect, it } from 'vitest';
import { addPerfOptions, type PerfOptions, readPerfOptions } from './options.ts';

const TRID = 'trtype:TCP traddr:127.0.0.1 trsvcid:4420 subnqn:nqn.2016-06.io.spdk:cnode1';
const least = ['-q', '32', '-o', '4k', '-w', 'randread', '-t', '5', '-r', TRID];

function parse(...args: string[]): PerfOptions {
  const command = addPerfOptions(new Command('nvme-perf').exitOverride());
  command.configureOutput({ writeErr: () => {} });
  command.parse(args, { from: 'user' });
  return readPerfOptions(command.opts());
}

it('takes spdk_nvme_perf’s options', () => {
  expect(parse(...least)).toMatchObject({
    ...{ queue_depth: 32, io_size: 4096, io_unit_size: 4096, workload: 'randread', time_s: 5, warmup_s: 0 },
    ...{
      cores: [availableParallelism() - 1],
      num_qpairs: 1,
      latency_level: 0,
      explained: [],
      keep_alive_timeout_ms: null,
    },
    targets: [{ traddr: '127.0.0.1', trsvcid: '4420', subnqn: 'nqn.2016-06.io.spdk:cnode1' }],
  });
  const more = [
    '-c',
    '0x6',
    '-a',
    '2',
    '-P',
    '4',
    '-U',
    '1',
    '-d',
    '50%',
    '-F',
    '0.9',
    '--fua',
    '-LL',
    '-Q',
    '7',
  ];
  expect(
    parse(...least, ...more, '-k', '5000', '-H', '-I', '-O', '512', '-r', TRID, '-S', 'posix'),
  ).toMatchObject({
    ...{
      cores: [1, 2],
      warmup_s: 2,
      num_qpairs: 4,
      num_unused_qpairs: 1,
      number_ios: 0,
      number_ios_percent: 50,
    },
    ...{ zipf_theta: 0.9, fua: true, latency_level: 2, continue_on_error: 7, keep_alive_timeout_ms: 5000 },
    ...{
      header_digest: true,
      data_digest: true,
      io_unit_size: 512,
      targets: { length: 2 },
      sock_impl: 'posix',
    },
  });
});

it('explains options without meaning, and refuses those that ask for what there is not', () => {
  const { explained } = parse(...least, '-s', '512', '--no-huge', '-N', '--iova-mode', 'va');
  expect(explained.map((line) => line.split(' ')[0])).toEqual(['-s', '-N', '--iova-mode', '--no-huge']);
  expect(() => parse(...least, '-b', '0000:01:00.0')).toThrow('-b is not supported');
  expect(() => parse(...least, '-e', 'PRACT=1')).toThrow('-e is not supported');
});

it.each([
  [['-w', 'verify'], /'verify' is not one of/],
  [['-o', '3'], /not a multiple of 4/],
  [['-q', '0'], /from 1 to 65535/],
  [['-d', '101%'], /a share of the namespace/],
  [['-A', '100'], /a power of two/],
  [['-r', 'trtype:PCIe traddr:0'], /trtype:PCIe is not supported/],
  [['-w', 'randrw'], /needs -M/],
])('refuses %j', (args, message) => {
  expect(() => parse(...least, ...args)).toThrow(message);
});
