import { RpcError } from '@spdk-ts/rpc';
import type { PrintForm } from '@spdk-ts/rpc-schema';

/** Where a command writes; tests and the --server mode bring their own. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
}

export const processOutput: Output = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
};

/** A word as a POSIX shell takes it for one. */
const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;

/** Prints a result as `form` says, see MethodCli. */
export function printResult(output: Output, form: PrintForm, result: unknown): void {
  if (form === 'none') return;
  if (form === 'words') {
    output.out(`${(result as string[]).map(shellWord).join(' ')}\n`);
    return;
  }
  const text = JSON.stringify(result, null, 2);
  output.out(`${form === 'text' ? text.replace(/^"+|"+$/g, '') : text}\n`);
}

/** What went wrong with a call, with the call. */
export function errorText(error: unknown, request: { method: string; params?: unknown } | undefined): string {
  if (!(error instanceof RpcError)) return error instanceof Error ? error.message : String(error);
  const lines = ['Got JSON-RPC error response', 'response:', JSON.stringify(error, null, 2)];
  if (request !== undefined) {
    const shown = { ...(request.params as object | undefined), method: request.method };
    lines.unshift('request:', JSON.stringify(shown, null, 2));
  }
  return lines.join('\n');
}

/** An error that has been put into words already, for the last handler to print and leave. */
export class CommandError extends Error {}
