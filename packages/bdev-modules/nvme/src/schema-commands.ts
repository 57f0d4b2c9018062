import { inFamily, option, optional, required, set, t } from '@spdk-ts/rpc-schema';

const define = inFamily('nvme');

const name = required(t.string, 'Name of the controller.', { cli: option('-n, --nvme-name') });
const cmdType = required(t.oneOf('admin', 'io'), 'Queue that the command goes to, or would.', {
  cli: option('-t, --cmd-type'),
});
const opc = required(t.u8, 'Opcode.', { cli: option('-o, --opc') });
const noController: readonly [number, string] = [-19, 'No such controller.'];

/** Methods about single commands. */
export const commandMethods = [
  define({
    name: 'bdev_nvme_send_cmd',
    text: 'Sends a command as it is. One of an I/O command set goes to an I/O queue that is opened for it, at the block addresses of the namespace: what bdevs and their users know of each other does not hold it up.',
    params: {
      name,
      cmd_type: cmdType,
      data_direction: required(t.oneOf('h2c', 'c2h'), 'Which way its data goes.', {
        cli: option('-r, --data-direction'),
      }),
      cmdbuf: required(
        t.string,
        'Submission queue entry, 64 bytes in base64url. CID and data pointers are not taken from it.',
        {
          cli: option('-c, --cmdbuf'),
        },
      ),
      data: optional(t.string, 'Data for the controller, in base64url.', { cli: option('-d, --data') }),
      metadata: optional(t.string, 'Refused: over TCP it cannot be apart from the data.', {
        cli: option('-m, --metadata'),
      }),
      data_len: optional(t.u32, 'Bytes of data that the controller is to send.', {
        default: '0',
        cli: option('-D, --data-length'),
      }),
      metadata_len: optional(t.u32, 'Refused, as `metadata` is.', {
        default: '0',
        cli: option('-M, --metadata-length'),
      }),
      timeout_ms: optional(
        t.u32,
        'How long the answer is waited for; 0: as long as the controller’s own timeouts say.',
        {
          unit: 'ms',
          default: '0',
          cli: option('-T, --timeout-ms'),
        },
      ),
    },
    result: t.object({ cpl: t.string, data: optional(t.string, 'What came.') }),
    resultText:
      'Completion queue entry and data in base64url. A status other than success is no error of the call: it is in `cpl`, whose SQHD, SQID and CID are 0.',
    errors: [
      noController,
      [-22, 'A parameter is wrong: the message says which.'],
      [-110, 'It takes longer than `timeout_ms`. It goes on.'],
    ],
  }),
  define({
    name: 'bdev_nvme_add_error_injection',
    text: 'Has the next commands of an opcode end with an error: on the admin queue, or on the I/O queue of each reactor that uses the controller.',
    params: {
      name,
      cmd_type: cmdType,
      opc,
      do_not_submit: optional(t.bool, 'They are not sent at all.', {
        default: 'false',
        cli: set('-s, --do-not-submit'),
      }),
      timeout_in_us: optional(t.u64, 'After which those that are not sent end.', {
        ...{ unit: 'µs', default: '0', cli: option('-w, --timeout-in-us') },
      }),
      err_count: optional(t.u32, 'How many.', { default: '1', cli: option('-e, --err-count') }),
      sct: optional(t.u8, 'Status code type.', { default: '0', cli: option('-u, --sct') }),
      sc: optional(t.u8, 'Status code.', { default: '0', cli: option('-c, --sc') }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [noController, [-22, 'A parameter is wrong.']],
  }),
  define({
    name: 'bdev_nvme_remove_error_injection',
    text: 'Ends what bdev_nvme_add_error_injection began.',
    params: { name, cmd_type: cmdType, opc },
    result: t.bool,
    resultText: '`true`',
    errors: [noController],
  }),
  define({
    name: 'bdev_nvme_get_controller_health_info',
    text: 'Reads a controller’s SMART / Health Information log page.',
    params: { name: required(t.string, 'Name of the controller.', { cli: option('-c, --name') }) },
    result: t.open({ model_number: t.string, serial_number: t.string, temperature_celsius: t.i32 }),
    errors: [noController, [-5, 'The log page cannot be read.']],
  }),
  define({
    name: 'bdev_nvme_get_transport_statistics',
    text: 'Tells what the NVMe connections of each reactor have done.',
    params: {},
    result: t.object({
      poll_groups: t.array(
        t.object({
          thread: t.string,
          transports: t.array(
            t.object({
              trname: t.string,
              polls: t.u64,
              idle_polls: t.u64,
              socket_completions: t.u64,
              nvme_completions: t.u64,
              queued_requests: t.u64,
              submitted_requests: t.u64,
            }),
          ),
        }),
      ),
    }),
  }),
];
