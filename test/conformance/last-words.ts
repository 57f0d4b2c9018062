/** How a target ends a connection on which a host has done what it must not (TCP Transport 1.0, 3.5). */
import { fesText, pduType, termReqFei, termReqFes } from '@spdk-ts/nvme-spec';
import { type Pdu, type PduStream, RawQueue } from '../host/index.ts';
import { type Check, holds, type Outcome, type Row, tcpCheck } from './check.ts';
import type { TcpBench } from './tcp-bench.ts';

/** How long a target may think about it. */
const PATIENCE_MS = 3000;
const LOOK_MS = 5;

export interface LastWords {
  /** The termination request, if one came. */
  readonly request: Pdu | null;
  /** The target closed by itself. */
  readonly closed: boolean;
}

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(done: () => boolean, ms: number): Promise<boolean> {
  const end = performance.now() + ms;
  while (!done()) {
    if (performance.now() > end) return false;
    await later(LOOK_MS);
  }
  return true;
}

async function ofStream(stream: PduStream): Promise<LastWords> {
  const end = performance.now() + PATIENCE_MS;
  let request: Pdu | null = null;
  try {
    while (request === null) {
      const pdu = await stream.next(Math.max(1, end - performance.now()));
      if (pdu === null) break;
      if (pdu.type === pduType.c2hTermReq) request = pdu;
    }
  } catch {
    // Neither a PDU nor the end has come.
  }
  return { request, closed: stream.ended };
}

async function ofQueue(queue: RawQueue): Promise<LastWords> {
  await until(() => queue.terminated !== null || queue.stream.ended, PATIENCE_MS);
  return { request: queue.terminated, closed: queue.stream.ended };
}

export const lastWords = (of: PduStream | RawQueue): Promise<LastWords> =>
  of instanceof RawQueue ? ofQueue(of) : ofStream(of);

/** Errors that may be told: a Fatal Error Status, and the information that goes with it, if it is defined. */
export interface Fatal {
  readonly fes: number;
  readonly fei?: number;
}

const wordsOfFatal = ({ fes, fei }: Fatal): string =>
  `C2HTermReq, ${fesText(fes)}${fei === undefined ? '' : `, FEI ${fei}`}`;

export function judge({ request, closed }: LastWords, wanted: readonly Fatal[]): Outcome {
  if (request === null)
    return holds(
      false,
      closed ? 'the connection is closed without C2HTermReq' : 'nothing: the connection goes on',
    );
  const found = { fes: termReqFes(request.view, 0), fei: termReqFei(request.view, 0) };
  const ok = wanted.some(({ fes, fei }) => fes === found.fes && (fei === undefined || fei === found.fei));
  return holds(ok, wordsOfFatal(found));
}

/** A check that bytes end a connection with one of these errors. `open`: what they are sent on, opened for this check alone. */
export function fatal<T extends PduStream | RawQueue>(
  row: Row,
  wanted: readonly Fatal[],
  open: (bench: TcpBench) => Promise<T>,
  bytes: (on: T) => Uint8Array | readonly Uint8Array[],
): Check {
  const expected = wanted.map(wordsOfFatal).join(' or ');
  return tcpCheck({ ...row, apart: true }, expected, async (bench) => {
    const on = await open(bench);
    const parts = bytes(on);
    const list = parts instanceof Uint8Array ? [parts] : parts;
    if (on instanceof RawQueue) {
      on.lenient = true;
      on.stream.send(...list);
    } else on.send(...list);
    return judge(await lastWords(on), wanted);
  });
}
