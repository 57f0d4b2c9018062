/** QEMU's own socket (QMP), by which a machine is changed while it runs. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { Json } from './target.ts';

/** QEMU's arguments for a socket at this path. */
export const qmpSocket = (path: string): string => `-qmp unix:${path},server=on,wait=off`;

/** One command on a connection of its own: resolves to what it returns, rejects with QEMU's description. */
export async function qmp(path: string, command: string, args: object = {}): Promise<Json> {
  const connection = connect(path);
  try {
    await once(connection, 'connect');
    connection.write(
      `{"execute": "qmp_capabilities"}${JSON.stringify({ execute: command, arguments: args })}`,
    );
    let answers = 0;
    for await (const line of createInterface({ input: connection })) {
      const message: Json = JSON.parse(line);
      if (message.error) throw new Error(`${command}: ${message.error.desc}`);
      if ('return' in message && ++answers === 2) return message.return;
    }
    throw new Error(`${command}: QEMU closed the connection`);
  } finally {
    connection.destroy();
  }
}
