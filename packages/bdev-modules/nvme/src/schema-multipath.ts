import { inFamily, ioStatFields, option, optional, positional, required, t } from '@spdk-ts/rpc-schema';
import { trid } from './schema-common.ts';

const define = inFamily('nvme');

/** What tells one path from another. */
export const pathFields = {
  trtype: optional(t.string, 'Transport of the path.', { cli: option('-t, --trtype') }),
  traddr: optional(t.string, 'Its address.', { cli: option('-a, --traddr') }),
  adrfam: optional(t.string, 'Its address family.', { cli: option('-f, --adrfam') }),
  trsvcid: optional(t.string, 'Its port.', { cli: option('-s, --trsvcid') }),
  subnqn: optional(t.string, 'NQN of its subsystem.', { cli: option('-n, --subnqn') }),
};

const policies = t.oneOf('active_passive', 'active_active');
const selectors = t.oneOf('round_robin', 'queue_depth');
const policyText =
  '`active_passive`: one path at a time; `active_active`: all that are equally good, chosen by the selector.';
const selectorText =
  'Of `active_active`: `round_robin` changes the path after `min_io` I/Os, `queue_depth` takes the one with the fewest outstanding.';

export const multipathOpts = optional(
  t.object({
    policy: optional(policies, policyText, { default: 'active_passive' }),
    selector: optional(selectors, selectorText, { default: 'round_robin' }),
    min_io: optional(t.u32, 'Of `round_robin`: I/Os in a row on a path.', { default: '1' }),
  }),
  'How bdevs choose among several paths.',
);

const controllerName = required(t.string, 'Name of the controller.', { cli: positional });
const bdevName = (cli = positional) => required(t.string, 'Name of the bdev.', { cli });
const cntlid = optional(t.u16, 'Of its paths, that to the controller with this id.', {
  default: '0: all',
  cli: option('-c, --cntlid'),
});
const noController = [-19, 'No such controller, or it has no such path.'] as const;
const noBdev = [-19, 'No such bdev of this module.'] as const;

/** What concerns several paths. */
export const multipathMethods = [
  define({
    name: 'bdev_nvme_reset_controller',
    text: 'Drops a controller’s connections and makes them again, those of one path after the other. What is outstanding may end before, within a second; I/O takes other paths meanwhile, or waits.',
    params: { name: controllerName, cntlid },
    result: t.bool,
    resultText: '`true`, once it is connected again.',
    errors: [
      [-5, 'It could not be connected to again.'],
      [-6, 'It is being detached, or was given up.'],
      noController,
      [-114, 'It is disabled.'],
    ],
  }),
  define({
    name: 'bdev_nvme_disable_controller',
    text: 'Disconnects from a controller until it is enabled again. Its bdevs stay; without another path their I/O fails.',
    params: { name: controllerName, cntlid },
    result: t.bool,
    resultText: '`true`',
    errors: [noController, [-114, 'It is disabled.']],
  }),
  define({
    name: 'bdev_nvme_enable_controller',
    text: 'Connects to a controller that was disabled.',
    params: { name: controllerName, cntlid },
    result: t.bool,
    resultText: '`true`, once it is connected.',
    errors: [[-5, 'It cannot be connected to.'], noController, [-114, 'It is not disabled.']],
  }),
  define({
    name: 'bdev_nvme_get_io_paths',
    text: 'Tells of the paths that each thread has to bdevs which it has open.',
    params: { name: optional(t.string, 'To this bdev only.', { cli: option('-n, --name') }) },
    result: t.object({
      poll_groups: t.array(
        t.object({
          thread: t.string,
          io_paths: t.array(
            t.object({
              bdev_name: t.string,
              cntlid: t.u16,
              current: required(t.bool, 'I/O takes it, perhaps among others.'),
              connected: t.bool,
              accessible: required(t.bool, 'Its ANA state is Optimized or Non-Optimized.'),
              transport: t.object({
                trtype: t.string,
                traddr: t.string,
                trsvcid: t.string,
                adrfam: t.string,
              }),
            }),
          ),
        }),
      ),
    }),
    errors: [noBdev],
  }),
  define({
    name: 'bdev_nvme_get_path_iostat',
    text: 'Counters of I/O on each path of a bdev. `bdev_nvme_set_options` must have switched on `io_path_stat` before the bdev came.',
    params: { name: bdevName() },
    result: t.object({
      name: t.string,
      stats: t.array(t.object({ trid: trid, stat: t.open({ ...ioStatFields }) })),
    }),
    errors: [[-1, '`io_path_stat` is off.'], noBdev],
  }),
  define({
    name: 'bdev_nvme_set_preferred_path',
    text: 'Chooses the path of a bdev’s I/O with the policy `active_passive`: it is taken as long as no other path is better (Optimized before Non-Optimized), and again when it comes back.',
    params: {
      name: bdevName(option('-b, --name')),
      cntlid: optional(
        t.u16,
        'Id of the path’s controller. A controller may get another one whenever it is connected.',
        {
          cli: option('-c, --cntlid'),
        },
      ),
      ...pathFields,
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-19, 'No such bdev of this module, or it has no such path.'],
      [-22, 'Nothing says which path.'],
    ],
  }),
  define({
    name: 'bdev_nvme_set_multipath_policy',
    text: 'Chooses how a bdev’s I/O is spread over its paths.',
    params: {
      name: bdevName(option('-b, --name')),
      policy: required(policies, policyText, { cli: option('-p, --policy') }),
      selector: optional(selectors, selectorText, {
        default: 'round_robin',
        cli: option('-s, --selector'),
      }),
      rr_min_io: optional(t.u32, 'Of `round_robin`: I/Os in a row on a path.', {
        default: '1',
        cli: option('-r, --rr-min-io'),
      }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [noBdev, [-22, 'A selector with active_passive, or an rr_min_io of 0.']],
  }),
];
