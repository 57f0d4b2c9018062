import { inFamily } from '../method.ts';
import { positional, required, t } from '../types.ts';

const define = inFamily('bdev');

/** Zones that fail. */
export const bdevZoneMethods = [
  define({
    name: 'bdev_set_zone_state',
    text:
      'Lets the medium of a zone fail, as media do: malloc, null and zone_block bdevs. A zone that is read only keeps what is ' +
      'written in it, one that is offline cannot be read either; neither comes back. Users are told as of a media event. ' +
      'zone_block bdevs keep the state; malloc and null bdevs are saved without it.',
    own: true,
    params: {
      name: required(t.string, 'Name or alias of the bdev.', { cli: positional }),
      zone_id: required(t.u64, 'First block of the zone.', { unit: 'blocks', cli: positional }),
      state: required(t.oneOf('read_only', 'offline'), 'What it becomes.', { cli: positional }),
    },
    result: t.bool,
    resultText: '`true`',
    errors: [
      [-1, 'The zone is offline and cannot become read only.'],
      [-19, 'No bdev has that name.'],
      [-22, 'No zone begins at that block.'],
      [-95, 'The bdev has no zones, or they are those of a device or another bdev.'],
    ],
  }),
];
