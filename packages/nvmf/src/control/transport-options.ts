import { invalidParams } from '@spdk-ts/rpc';
import type { TransportOptions } from '../transport.ts';

const NO_CACHE = 0xffff_ffff;
const MAX_IO_SIZE_LEAST = 8192;
const CAPSULE_UNIT = 16;
const ADMIN_DEPTH_LEAST = 32;
const QUEUE_DEPTH_MOST = 65_536;

/** What is shown of a transport beside what has an effect: name and default. */
const shown = {
  iobuf_small_cache_size: NO_CACHE,
  iobuf_large_cache_size: NO_CACHE,
  dif_insert_or_strip: false,
  zcopy: false,
  data_wr_pool_size: 0,
  disable_command_passthru: false,
} as const;

/** Parameters of nvmf_create_transport that have an effect, and their defaults: SPDK's. */
const defaults = {
  max_queue_depth: 128,
  max_io_qpairs_per_ctrlr: 127,
  in_capsule_data_size: 4096,
  max_io_size: 131_072,
  max_aq_depth: 128,
  c2h_success: true,
  sock_priority: 0,
  abort_timeout_sec: 1,
  ack_timeout: 0,
  kas: 100,
  min_kato: 10_000,
} as const;

/** What is different by default for memory-based transports, where nothing travels in capsules: SPDK's. */
const vfioUserDefaults = { max_queue_depth: 256, in_capsule_data_size: 0, max_aq_depth: 32 } as const;
const vfioUserFlags = ['disable_mappable_bar0', 'disable_adaptive_irq', 'disable_shadow_doorbells'] as const;
/** Entries that the admin queue's attributes can give, and queues that there are doorbells for. */
const VFIO_USER_QUEUES_MOST = 511;

type Given = { trtype: string; [option: string]: unknown };

/**
 * The options of a new transport. `buffer_bytes`: the largest buffer of the reactors. Throws an RPC error -32602
 * that names the parameter.
 */
export function transportOptions(given: Given, buffer_bytes: number): TransportOptions {
  const { trtype, tgt_name: _, ...rest } = given;
  const own = trtype === 'VFIOUSER' ? { ...defaults, ...vfioUserDefaults } : defaults;
  const known = Object.fromEntries(
    Object.entries(own).map(([name, value]) => [name, rest[name] ?? value]),
  ) as { -readonly [K in keyof typeof defaults]: (typeof defaults)[K] extends boolean ? boolean : number };
  const extra = Object.fromEntries(Object.entries(rest).filter(([name]) => !(name in defaults)));
  const check = (name: keyof typeof defaults, ok: boolean, advice: string): void => {
    if (!ok) throw invalidParams(`${name} is ${known[name]}: ${advice}`, name);
  };
  const { max_io_size, max_queue_depth, max_aq_depth, in_capsule_data_size } = known;
  const power = (max_io_size & (max_io_size - 1)) === 0;
  check('max_io_size', power && max_io_size >= MAX_IO_SIZE_LEAST, 'give a power of two of at least 8192');
  check(
    'max_io_size',
    max_io_size <= buffer_bytes,
    `the largest I/O buffer has ${buffer_bytes} bytes; raise large_bufsize with iobuf_set_options first`,
  );
  check('max_queue_depth', max_queue_depth >= 2, 'give at least 2');
  check(
    'max_aq_depth',
    max_aq_depth >= ADMIN_DEPTH_LEAST && max_aq_depth <= QUEUE_DEPTH_MOST,
    'give 32 to 65536: the specification wants an admin queue of 32 entries',
  );
  check('max_io_qpairs_per_ctrlr', known.max_io_qpairs_per_ctrlr >= 1, 'give at least 1');
  if (trtype === 'VFIOUSER')
    check(
      'max_io_qpairs_per_ctrlr',
      known.max_io_qpairs_per_ctrlr <= VFIO_USER_QUEUES_MOST,
      `give at most ${VFIO_USER_QUEUES_MOST}: there are no doorbells for more`,
    );
  check(
    'in_capsule_data_size',
    in_capsule_data_size % CAPSULE_UNIT === 0 && in_capsule_data_size <= max_io_size,
    `give a multiple of ${CAPSULE_UNIT} that is not above max_io_size`,
  );
  check('abort_timeout_sec', known.abort_timeout_sec >= 1, 'give at least 1');
  return { trtype, ...known, extra };
}

/** A transport as nvmf_get_transports shows it; also the parameters that make it again. */
export function transportInfo(options: TransportOptions) {
  const { extra } = options;
  const more = { ...shown, ...extra } as { -readonly [K in keyof typeof shown]: (typeof shown)[K] };
  return {
    trtype: options.trtype,
    max_queue_depth: options.max_queue_depth,
    max_io_qpairs_per_ctrlr: options.max_io_qpairs_per_ctrlr,
    in_capsule_data_size: options.in_capsule_data_size,
    max_io_size: options.max_io_size,
    max_aq_depth: options.max_aq_depth,
    iobuf_small_cache_size: more.iobuf_small_cache_size as number,
    iobuf_large_cache_size: more.iobuf_large_cache_size as number,
    dif_insert_or_strip: more.dif_insert_or_strip as boolean,
    zcopy: more.zcopy as boolean,
    c2h_success: options.c2h_success,
    sock_priority: options.sock_priority,
    abort_timeout_sec: options.abort_timeout_sec,
    ack_timeout: options.ack_timeout,
    data_wr_pool_size: more.data_wr_pool_size as number,
    disable_command_passthru: more.disable_command_passthru as boolean,
    kas: options.kas,
    min_kato: options.min_kato,
    ...(options.trtype === 'VFIOUSER' &&
      Object.fromEntries(vfioUserFlags.map((flag) => [flag, extra[flag] === true]))),
  };
}

/** The parameters that make the transport again: what is shown, and masks that were given. */
export function transportConfig(options: TransportOptions): Record<string, unknown> {
  const { masked_oncs, masked_fuses } = options.extra;
  return {
    ...transportInfo(options),
    ...(masked_oncs !== undefined && { masked_oncs }),
    ...(masked_fuses !== undefined && { masked_fuses }),
  };
}
