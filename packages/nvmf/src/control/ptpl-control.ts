import { open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { formatUuid, parseUuid, reservationType } from '@spdk-ts/nvme-spec';
import { forAllRegistrants, noReservation, type Registrant, type ReservationState } from '../reservations.ts';

/*
 * The file that keeps a namespace's reservations through a loss of power: JSON, with SPDK's names. Keys are
 * hexadecimal texts, as a JSON number holds 53 bits of their 64.
 */

interface PtplFile {
  readonly ptpl: boolean;
  readonly rtype: number;
  /** Key of the holder; 0 for none, and of reservations for all registrants. */
  readonly crkey: string;
  readonly bdev_uuid: string;
  readonly holder_uuid: string;
  readonly registrants: readonly { readonly rkey: string; readonly host_uuid: string }[];
}

const uuidOf = (hostid: string): string => formatUuid(Buffer.from(hostid, 'hex'));
const keyText = (key: bigint): string => `0x${key.toString(16)}`;

/** What the file says of a state. */
function fileOf(state: ReservationState, bdev_uuid: string): PtplFile {
  const { ptpl, rtype, holder, registrants } = state;
  if (!ptpl) return { ptpl, rtype: 0, crkey: '0x0', bdev_uuid, holder_uuid: '', registrants: [] };
  const held = forAllRegistrants(rtype) ? undefined : registrants.find(({ hostid }) => hostid === holder);
  return {
    ...{ ptpl, rtype, crkey: keyText(held?.rkey ?? 0n), bdev_uuid },
    holder_uuid: holder === null ? '' : uuidOf(holder),
    registrants: registrants.map(({ hostid, rkey }) => ({ rkey: keyText(rkey), host_uuid: uuidOf(hostid) })),
  };
}

function parseKey(value: unknown): bigint {
  const wrong = (): never => {
    throw new Error(`rkey is ${JSON.stringify(value)}, not a 64-bit number: give it as "0x…"`);
  };
  if (typeof value === 'number') return Number.isSafeInteger(value) && value > 0 ? BigInt(value) : wrong();
  if (typeof value !== 'string' || !/^0x[0-9a-f]{1,16}$/i.test(value)) return wrong();
  return BigInt(value);
}

function parseHost(value: unknown): string {
  const bytes = typeof value === 'string' ? parseUuid(value) : null;
  if (bytes === null) throw new Error(`host_uuid is ${JSON.stringify(value)}, not a UUID`);
  return Buffer.from(bytes).toString('hex');
}

/** The state that a file describes. Throws an Error that says what is wrong with it. */
function stateOf(text: string, bdev_uuid: string): ReservationState {
  // SPDK empties the file when reservations are no longer to persist.
  if (text.trim() === '') return noReservation;
  const file = JSON.parse(text) as Partial<PtplFile>;
  if (typeof file !== 'object' || file === null) throw new Error('it is not an object');
  if (file.ptpl !== true) return noReservation;
  if (file.bdev_uuid?.toLowerCase() !== bdev_uuid)
    throw new Error(`bdev_uuid is ${file.bdev_uuid}, but the bdev's UUID is ${bdev_uuid}`);
  if (!Array.isArray(file.registrants)) throw new Error('registrants is not a list');
  const registrants: Registrant[] = (file.registrants as PtplFile['registrants']).map(
    ({ rkey, host_uuid }) => ({
      hostid: parseHost(host_uuid),
      rkey: parseKey(rkey),
    }),
  );
  if (new Set(registrants.map(({ hostid }) => hostid)).size !== registrants.length)
    throw new Error('a host is among its registrants twice');
  const { rtype = reservationType.none } = file;
  if (!Object.values<number>(reservationType).includes(rtype)) throw new Error(`rtype is ${rtype}`);
  if (rtype === reservationType.none) return { ...noReservation, ptpl: true, registrants };
  const named = file.holder_uuid ? parseHost(file.holder_uuid) : null;
  const holder = forAllRegistrants(rtype) ? (named ?? registrants[0]?.hostid ?? null) : named;
  if (holder === null || !registrants.some(({ hostid }) => hostid === holder))
    throw new Error('the holder of its reservation is not among its registrants');
  return { ...noReservation, ptpl: true, rtype, holder, registrants };
}

/**
 * Reads what a file keeps for the namespace of a bdev; nothing, if there is no file. Rejects with an Error that says
 * what is wrong: a reservation that cannot be read is not taken for none.
 */
export async function loadReservation(file: string, bdev_uuid: string): Promise<ReservationState> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return noReservation;
    throw error;
  }
  return stateOf(text, bdev_uuid.toLowerCase());
}

/** Makes what a folder lists as durable as its files are. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Keeps a state: whoever reads the file, whenever the power fails, finds this or what was there before. Resolves when
 * it is on the medium. Rejects with the system's error.
 */
export async function saveReservation(
  file: string,
  bdev_uuid: string,
  state: ReservationState,
): Promise<void> {
  const folder = dirname(file);
  const temporary = join(folder, `.${basename(file)}.new`);
  try {
    const handle = await open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(fileOf(state, bdev_uuid.toLowerCase()), null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(folder);
}
