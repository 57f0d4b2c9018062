import { Command, InvalidArgumentError, Option } from 'commander';
import { isMetric, type MetricName, metrics } from '../metrics.ts';
import { rowDefaults } from '../scenario/parse.ts';
import { type Row, type Side, type Workload, workloads } from '../scenario/types.ts';
import { formatSize, parseSize } from '../size.ts';
import { guarded } from './guarded.ts';
import { measure } from './measure.ts';
import { addMeasureOptions, exitCodesHelp, integer, type MeasureOptions } from './options.ts';
import { parseSideArgument, sidesHelp } from './sides.ts';

interface CompareOptions extends MeasureOptions {
  readonly runner: 'bdevperf' | 'nvmf';
  readonly queueDepth: number[];
  readonly ioSize: number[];
  readonly workload: Workload[];
  readonly rwPercentage: number;
  readonly connections: number[];
  readonly bdev: string;
  readonly cores?: number[];
  readonly metric: MetricName;
  readonly verify?: boolean;
}

/** A parser of values separated by commas. */
function list<T>(one: (text: string) => T): (text: string) => T[] {
  return (text) => {
    try {
      return text.split(',').map(one);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

function workload(text: string): Workload {
  if ((workloads as readonly string[]).includes(text)) return text as Workload;
  throw new InvalidArgumentError(`Give some of ${workloads.join(', ')}.`);
}

function metric(text: string): MetricName {
  if (isMetric(text)) return text;
  throw new InvalidArgumentError(`Give one of ${[...metrics.keys()].join(', ')}.`);
}

/** `bench compare A B …` */
export function compareCommand(): Command {
  const command = new Command('compare')
    .description('Compare programs, commits or options with each other. The first side is the baseline.')
    .argument('<sides...>', 'two or more sides')
    .optionsGroup('Load (values separated by commas make a row each):')
    .addOption(
      new Option('-r, --runner <runner>', 'bdevperf: bdevs in one process; nvmf: a target over NVMe/TCP')
        .choices(['bdevperf', 'nvmf'])
        .default('bdevperf'),
    )
    .option('-q, --queue-depth <depths>', 'I/Os in flight in all', list(integer(1)), [128])
    .option('-o, --io-size <sizes>', '512, 4k, 128k', list(parseSize), [4096])
    .option('-w, --workload <types>', workloads.join(', '), list(workload), ['randread'])
    .option('-M, --rw-percentage <percent>', 'share of reads of rw and randrw', integer(0), 50)
    .option('-P, --connections <counts>', 'connections of the initiator', list(integer(1)), [1])
    .option(
      '--bdev <bdev>',
      'malloc:64M, null:1G:4096, aio:1G, file:1G@memory, malloc:64M+passthru',
      'malloc:64M',
    )
    .option('--cores <cpus>', 'CPUs of the target (default: 0) or of bdevperf (default: 1)', list(integer(0)))
    .option('--metric <metric>', `what decides: ${[...metrics.keys()].join(', ')}`, metric, 'iops')
    .option('--verify', 'write and check patterns through the same path first')
    .addHelpText('after', sidesHelp)
    .addHelpText('after', exitCodesHelp)
    .addHelpText(
      'after',
      `
Examples:
  spdk-ts bench compare spdk ours --spdk ~/spdk -r nvmf -o 512,4k -w randread,randwrite
  spdk-ts bench compare commit:main ours -n 30 --html report.html
  spdk-ts bench compare 'poll=ours,args=--reactor-mode poll' ours -r nvmf -q 1 --metric latency_us_average`,
    );
  return addMeasureOptions(command).action(guarded('compare', compare));
}

async function compare(texts: readonly string[], options: CompareOptions): Promise<number> {
  const sides = texts.map(parseSideArgument);
  if (sides.length < 2) throw new Error('give two or more sides to compare (bench compare --help)');
  const twice = sides.find((side, index) => sides.findIndex(({ name }) => name === side.name) !== index);
  if (twice !== undefined)
    throw new Error(`two sides are called '${twice.name}': name them, as in before=${twice.name}`);
  const rows = rowsOf(sides, options);
  const title = sides.map(({ name }) => name).join(' against ');
  return await measure({ name: 'compare', title, about: '', per_iteration: false, rows }, options);
}

function rowsOf(sides: readonly Side[], options: CompareOptions): Row[] {
  const over_tcp = options.runner === 'nvmf';
  const cores = options.cores ?? [over_tcp ? 0 : 1];
  const rows: Row[] = [];
  for (const kind of options.workload)
    for (const size of options.ioSize)
      for (const depth of options.queueDepth)
        for (const connections of over_tcp ? options.connections : [1])
          rows.push({
            ...rowDefaults,
            ...{ run: options.runner, sides, cores, metric: options.metric, bdev: options.bdev },
            ...{ workload: kind, size, depth, connections, rw_percentage: options.rwPercentage },
            ...{ verify: options.verify === true, group: `${options.runner} ${options.bdev}` },
            name: nameOf(kind, size, depth, over_tcp ? connections : null),
          });
  return rows;
}

function nameOf(kind: Workload, size: number, depth: number, connections: number | null): string {
  const over = connections === null || connections === 1 ? '' : `, ${connections} connections`;
  return `${formatSize(size)} ${kind}, QD ${depth}${over}`;
}
