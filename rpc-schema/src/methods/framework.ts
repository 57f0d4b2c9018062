import { inFamily } from '../method.ts';
import { option, optional, positional, required, set, t, toggle } from '../types.ts';

const define = inFamily('framework');

const configEntry = t.open({
  method: required(t.string, 'Method to call.'),
  params: optional(t.open({}), 'Its parameters.'),
});

export const frameworkMethods = [
  define({
    name: 'framework_start_init',
    text: 'Initializes the subsystems, after which the state is runtime. For applications started with --wait-for-rpc.',
    state: 'startup',
    result: t.bool,
    resultText: '`true` when every subsystem is initialized',
    errors: [[-32603, 'A subsystem failed to initialize; the message names it.']],
  }),
  define({
    name: 'framework_wait_init',
    text: 'Answers when the subsystems are initialized, at once if they are.',
    state: 'both',
    result: t.bool,
    resultText: '`true`',
  }),
  define({
    name: 'framework_get_subsystems',
    text: 'Lists the subsystems in the order of their initialization.',
    result: t.array(
      t.object({
        subsystem: required(t.string, 'Name.'),
        depends_on: required(t.array(t.string), 'Subsystems initialized before it because it needs them.'),
      }),
    ),
  }),
  define({
    name: 'framework_get_config',
    text: 'Gives the present configuration of a subsystem as the calls that would make it again, in order.',
    params: {
      name: required(t.string, 'Subsystem, as framework_get_subsystems names it.', { cli: positional }),
      with_batches: optional(t.bool, 'Keep calls that belong together as nested arrays.', {
        default: 'false',
        cli: toggle('--with-batches'),
      }),
    },
    decodeText: 'Invalid arguments',
    result: t.nullable(t.array(t.union(configEntry, t.array(configEntry)))),
    resultText: 'Array of `{method, params}`, or null for a subsystem that has no configuration.',
    errors: [[-32602, 'There is no such subsystem.']],
  }),
  define({
    name: 'framework_get_reactors',
    text: 'Shows every reactor with the time it was busy and idle, and the threads that run on it.',
    result: t.object({
      tick_rate: required(t.u64, 'Ticks in a second.'),
      pid: required(t.u64, 'Process id of the application.'),
      reactors: t.array(
        t.object({
          lcore: required(t.u32, 'Core the reactor is meant for.'),
          numa_id: required(t.i32, 'NUMA node of the core; -1 if unknown.'),
          tid: required(t.u64, 'Thread id in the kernel.'),
          busy: required(t.u64, 'Time in which pollers found work.', { unit: 'ticks' }),
          idle: required(t.u64, 'Time without work.', { unit: 'ticks' }),
          in_interrupt: required(t.bool, 'Whether the reactor sleeps when there is no work.'),
          irq: required(t.u64, 'Time of the core in interrupts.', { unit: 'clock ticks of /proc/stat' }),
          sys: required(t.u64, 'Time of the core in the kernel.', { unit: 'clock ticks of /proc/stat' }),
          usr: required(t.u64, 'Time of the core in user space.', { unit: 'clock ticks of /proc/stat' }),
          core_freq: optional(t.u32, 'Present frequency of the core.', { unit: 'MHz' }),
          lw_threads: t.array(
            t.object({
              name: t.string,
              id: t.u64,
              cpumask: required(t.string, 'Cores the thread may run on, hexadecimal without 0x.'),
              elapsed: required(t.u64, 'Time since the thread was put on this reactor.', { unit: 'ticks' }),
            }),
          ),
        }),
      ),
    }),
  }),
  define({
    name: 'framework_set_scheduler',
    text: 'Chooses how threads are placed on reactors. `static` (threads stay where they were created) is the one there is.',
    state: 'both',
    relaxed: true,
    params: {
      name: required(t.string, 'Scheduler: static.', { cli: positional }),
      period: optional(t.u64, 'Interval of scheduling decisions.', {
        unit: 'µs',
        default: '1000000',
        cli: option('-p, --period'),
      }),
      load_limit: optional(t.u8, 'Load above which a thread may move (dynamic scheduler).', {
        unit: '%',
        cli: option('--load-limit'),
      }),
      core_limit: optional(t.u8, 'Load at which a core counts as full (dynamic scheduler).', {
        unit: '%',
        cli: option('--core-limit'),
      }),
      core_busy: optional(t.u8, 'Load from which threads are moved off a core (dynamic scheduler).', {
        unit: '%',
        cli: option('--core-busy'),
      }),
      mappings: optional(t.string, 'Fixed places as thread:core pairs, comma-separated.', {
        cli: option('--mappings'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [[-22, 'The scheduler is not one that exists here.']],
  }),
  define({
    name: 'framework_get_scheduler',
    text: 'Tells the scheduler and its settings.',
    state: 'both',
    result: t.open({
      scheduler_name: optional(t.string, 'Name of the scheduler.'),
      scheduler_period: required(t.u64, 'Interval of scheduling decisions.', { unit: 'µs' }),
      isolated_core_mask: required(t.string, 'Cores left out of scheduling.'),
      scheduling_core: required(t.u32, 'Core the scheduler runs on.'),
      governor_name: optional(t.string, 'Frequency governor, if one is set.'),
    }),
  }),
  define({
    name: 'framework_get_governor',
    text: 'Tells the frequency governor. None is implemented, so the answer is an empty object.',
    result: t.open({
      governor_name: optional(t.string, 'Name of the governor.'),
      module_specific: optional(t.open({}), 'What the governor adds.'),
      cores: optional(
        t.array(
          t.object({ lcore_id: t.u32, available_frequencies: t.array(t.u32), current_frequency: t.u32 }),
        ),
        'Cores and their frequencies.',
      ),
    }),
  }),
  define({
    name: 'framework_monitor_context_switch',
    text: 'Turns the monitor of context switches on or off, or only tells which it is when called without parameters.',
    params: {
      enabled: optional(t.bool, 'Whether to count context switches of reactor threads.', {
        cli: toggle('--monitor'),
      }),
    },
    result: t.object({ enabled: t.bool }),
    cli: { print: 'json' },
  }),
  define({
    name: 'framework_get_pci_devices',
    text: 'Lists PCI devices the application has attached. It attaches none, so the list is empty.',
    result: t.array(t.object({ address: t.string, type: t.string, numa_id: t.i32, config_space: t.string })),
    cli: {
      args: {
        format_lspci: optional(t.bool, 'Accepted for older scripts.', { cli: set('--format-lspci') }),
      },
      toParams: () => ({}),
    },
  }),
  define({
    name: 'framework_get_capabilities',
    text: 'Tells which ways of doing I/O this process found, and for each of the others why it is not used.',
    state: 'both',
    own: true,
    result: t.open({
      capabilities: t.array(
        t.open({
          name: required(t.string, 'Such as native_addon, io_uring, cpu_pinning.'),
          available: t.bool,
          reason: optional(t.string, 'Why it is not available.'),
          detail: optional(t.string, 'Which variant of it is used, or how far it goes.'),
        }),
      ),
    }),
  }),
];
