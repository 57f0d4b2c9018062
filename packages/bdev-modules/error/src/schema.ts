import {
  hidden,
  inFamily,
  type MethodsByName,
  option,
  optional,
  positional,
  required,
  t,
} from '@spdk-ts/rpc-schema';

const define = inFamily('error');
const name = required(t.string, 'Name of the error bdev.', { cli: positional });
const noDevice = [-19, 'No such error bdev.'] as const;
const errorType = t.oneOf('failure', 'pending', 'corrupt_data', 'nomem', 'nvme_failure');

/** One rule of a scripted fault run. */
const rule = t.object({
  io_type: optional(
    t.oneOf('read', 'write', 'unmap', 'flush', 'write_zeroes', 'compare', 'copy', 'all'),
    'Which I/O the rule is for.',
    { default: 'all' },
  ),
  first_block: optional(t.u64, 'First block of the range it is for: I/O that touches it.', {
    unit: 'blocks',
    default: '0',
  }),
  num_blocks: optional(t.u64, 'Length of that range.', { unit: 'blocks', default: 'to the end' }),
  skip: optional(t.u64, 'How many of those I/Os pass before the rule begins.', { default: '0' }),
  every: optional(t.u32, 'It hits each nth of those that follow, the nth first.', { default: '1' }),
  pattern: optional(
    t.string,
    'Instead of `every`: a string of `x` (hit) and `.` (pass), repeated over those that follow.',
  ),
  rate: optional(t.number, 'Share of those that it hits, by chance: from 0 to 1.', { default: '1' }),
  count: optional(t.u64, 'Most hits.', { default: 'unlimited' }),
  error_type: optional(errorType, 'What happens to an I/O that is hit.', {
    default: 'nothing but latency_us',
  }),
  latency_us: optional(t.u64, 'How much later it ends.', { unit: 'µs', default: '0' }),
  nvme_sct: optional(t.u8, 'nvme_failure: status code type.', { default: '0' }),
  nvme_sc: optional(t.u8, 'nvme_failure: status code.', { default: '0' }),
  corrupt_offset: optional(t.u32, 'corrupt_data: which byte of the I/O.', { unit: 'bytes', default: '0' }),
  corrupt_value: optional(t.u8, 'corrupt_data: what it is XORed with, not 0.', { default: '255' }),
});

/** The methods of the error module. */
export const methods = [
  define({
    name: 'bdev_error_create',
    text: 'Makes a bdev `EE_<base>` that fails when it is told to. If the base bdev is not there yet, it appears together with it.',
    decodeText: 'spdk_json_decode_object failed',
    params: {
      base_name: required(t.string, 'Name of the base bdev.', { cli: positional }),
      uuid: optional(t.uuid, 'Identity of the bdev.', {
        default: 'made of that of the base',
        cli: option('--uuid'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-17, 'There is one on that base already.'],
      [-1, 'The base bdev is claimed by another module.'],
    ],
    cli: { print: 'json' },
  }),
  define({
    name: 'bdev_error_delete',
    text: 'Removes an error bdev, or one that waits for its base. Pending I/O ends ABORTED. The base stays.',
    decodeText: 'spdk_json_decode_object failed',
    params: { name },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
  define({
    name: 'bdev_error_inject_error',
    text: 'Lets the next I/Os of a type go wrong; `clear` ends that for all types.',
    decodeText: 'spdk_json_decode_object failed',
    params: {
      name,
      io_type: required(t.oneOf('clear', 'read', 'write', 'unmap', 'flush', 'all'), 'Type of I/O.', {
        cli: positional,
      }),
      error_type: required(
        errorType,
        'failure: it ends FAILED. pending: it does not end until bdev_error_resume_pending, a reset or an abort. corrupt_data: one byte of its data changes. nomem: it is told to try again. nvme_failure: it ends with an NVMe status.',
        { cli: positional },
      ),
      nvme_sct: optional(t.u32, 'nvme_failure: status code type.', {
        default: '0',
        cli: option('--nvme-sct'),
      }),
      nvme_sc: optional(t.u32, 'nvme_failure: status code; it and nvme_sct may not both be 0.', {
        default: '0',
        cli: option('--nvme-sc'),
      }),
      num: optional(t.u32, 'How many I/Os.', { default: '1', cli: option('-n, --num') }),
      queue_depth: optional(t.u64, 'Only while at least so many others of its thread are under way.', {
        default: '0',
        cli: option('-q, --queue-depth'),
      }),
      corrupt_offset: optional(t.u64, 'corrupt_data: which byte of the I/O.', {
        unit: 'bytes',
        default: '0',
        cli: option('-o, --corrupt-offset'),
      }),
      corrupt_value: optional(t.u8, 'corrupt_data: what it is XORed with, not 0.', {
        default: '0',
        cli: option('-v, --corrupt-value'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice, [-22, 'An NVMe status without nvme_failure or the reverse; corrupt_value 0.']],
  }),
  define({
    name: 'bdev_error_resume_pending',
    text: 'Lets pending I/O go on as if nothing had happened, and ends the injection of `pending`.',
    decodeText: 'spdk_json_decode_object failed',
    params: { name },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice],
  }),
  define({
    name: 'bdev_error_set_rules',
    text: 'Scripts a fault run: the first rule that hits an I/O decides what happens to it, and the rules after it do not see it. What is hit depends on the seed and on the order of I/O on each reactor, so that a run with the same I/O replays exactly. Replaces all rules, and starts their counts anew; an empty list ends the run. Comes before what bdev_error_inject_error injects.',
    own: true,
    params: {
      name,
      rules: required(t.array(rule, 256), 'The rules, in order.', { cli: hidden }),
      seed: optional(t.u32, 'Where chance starts.', { default: '1', cli: option('-s, --seed') }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [noDevice, [-22, 'A rule that cannot be.']],
    cli: {
      args: {
        rules_json: required(t.any, 'The rules as a JSON array, in quotes.', { cli: positional }),
      },
      positionals: ['name', 'rules_json'],
      toParams: ({ rules_json, ...rest }) => ({ ...rest, rules: rules_json }),
    },
  }),
  define({
    name: 'bdev_error_get_rules',
    text: 'Shows the rules of an error bdev and how often each has hit.',
    own: true,
    params: { name },
    result: t.object({
      seed: t.u32,
      rules: t.array(
        t.object({
          rule,
          matched: required(t.u64, 'I/Os that it was for.'),
          hits: required(t.u64, 'Those that it hit.'),
        }),
      ),
    }),
    errors: [noDevice],
  }),
];

declare module '@spdk-ts/rpc-schema' {
  interface MethodTable extends MethodsByName<typeof methods> {}
}
