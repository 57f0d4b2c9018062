import { inFamily } from '../method.ts';
import { option, optional, required, t } from '../types.ts';

const define = inFamily('thread');

const poller = t.object({
  name: t.string,
  id: t.u64,
  state: required(t.string, 'waiting, running, unregistered, pausing or paused.'),
  run_count: required(t.u64, 'Times the poller was called.'),
  busy_count: required(t.u64, 'Times it had something to do.'),
  period_ticks: optional(t.u64, 'Period of a timed poller.', { unit: 'ticks' }),
});

export const threadMethods = [
  define({
    name: 'thread_get_stats',
    text: 'Shows every thread with its busy and idle time and the number of its pollers.',
    result: t.object({
      tick_rate: required(t.u64, 'Ticks in a second.'),
      threads: t.array(
        t.object({
          name: t.string,
          id: t.u64,
          cpumask: required(t.string, 'Cores it may run on, hexadecimal without 0x.'),
          busy: required(t.u64, 'Time in which pollers found work.', { unit: 'ticks' }),
          idle: required(t.u64, 'Time without work.', { unit: 'ticks' }),
          active_pollers_count: t.u64,
          timed_pollers_count: t.u64,
          paused_pollers_count: t.u64,
        }),
      ),
    }),
  }),
  define({
    name: 'thread_set_cpumask',
    text: 'Sets the cores a thread may run on; it moves if it has to.',
    decodeText: 'spdk_json_decode_object failed',
    params: {
      id: required(t.u64, 'Id of the thread, as thread_get_stats tells it.', { cli: option('-i, --id') }),
      cpumask: required(t.string, 'Cores, as a hexadecimal mask or a list such as [0,2-3].', {
        cli: option('-m, --cpumask'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
  }),
  define({
    name: 'thread_get_pollers',
    text: 'Shows the pollers of every thread.',
    result: t.object({
      tick_rate: required(t.u64, 'Ticks in a second.'),
      threads: t.array(
        t.open({
          name: t.string,
          id: t.u64,
          active_pollers: required(t.array(poller), 'Called on every turn of the reactor.'),
          timed_pollers: required(t.array(poller), 'Called when their period has passed.'),
          paused_pollers: t.array(poller),
        }),
      ),
    }),
  }),
  define({
    name: 'thread_get_io_channels',
    text: 'Shows which I/O channels every thread holds.',
    result: t.object({
      tick_rate: required(t.u64, 'Ticks in a second.'),
      threads: t.array(
        t.object({
          name: t.string,
          io_channels: t.array(
            t.object({
              name: required(t.string, 'Name of the I/O device.'),
              ref: required(t.u32, 'References to the channel.'),
            }),
          ),
        }),
      ),
    }),
  }),
];
