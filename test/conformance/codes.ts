/** Status codes with their types, ready to be compared with what a completion has, and in words. */
import {
  commandStatus,
  fabricsStatus,
  genericStatus,
  mediaStatus,
  pathStatus,
  status,
  statusCode,
  statusIsDnr,
  statusSc,
  statusSct,
  statusText,
  statusType,
} from '@spdk-ts/nvme-spec';
import type { Completion } from '../host/index.ts';

const ofType = <T extends Record<string, number>>(
  sct: number,
  table: T,
): { readonly [K in keyof T]: number } =>
  Object.fromEntries(Object.entries(table).map(([name, sc]) => [name, status(sct, sc)])) as {
    [K in keyof T]: number;
  };

export const generic = ofType(statusType.generic, genericStatus);
export const command = ofType(statusType.commandSpecific, commandStatus);
export const fabrics = ofType(statusType.commandSpecific, fabricsStatus);
export const media = ofType(statusType.media, mediaStatus);
export const path = ofType(statusType.path, pathStatus);

const hex = (value: number, digits: number): string =>
  `${value.toString(16).toUpperCase().padStart(digits, '0')}h`;

/** A status in words and as SCT/SC; `fabricsCommand`: codes from 80h on are those of Fabrics commands. */
export function describeStatus(code: number, fabricsCommand = false): string {
  const sct = statusSct(code);
  const sc = statusSc(code);
  const name = fabricsCommand ? nameOfFabrics(code) : null;
  return `${name ?? statusText(sct, sc)} (${sct}/${hex(sc, 2)})`;
}

function nameOfFabrics(code: number): string | null {
  const found = Object.entries(fabrics).find(([, value]) => value === statusCode(code));
  if (found === undefined) return null;
  return found[0].replace(/([a-z])([A-Z])/g, '$1 $2').replace(/^./, (c) => c.toUpperCase());
}

/** What a completion says, in words. */
export function describe(completion: Completion, fabricsCommand = false): string {
  const { status: code } = completion;
  const text = describeStatus(code, fabricsCommand);
  return statusIsDnr(code) ? `${text}, do not retry` : text;
}
