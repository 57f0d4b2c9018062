import type { Connection } from '@spdk-ts/nvme';
import type { Command } from 'commander';
import { type CommonValues, common, withConnection } from './options.ts';
import { json, print } from './output.ts';

/** What a verb has found, to be printed as text or as JSON. */
export interface Found {
  readonly text: readonly string[];
  readonly json: unknown;
}

/** Adds a verb: `run` gets the connection and the values of its options, and tells what to print. */
export function verb<V extends object>(
  program: Command,
  name: string,
  text: string,
  addOptions: (command: Command) => Command,
  run: (connection: Connection, values: V & CommonValues) => Promise<Found>,
): void {
  const command = addOptions(common(program.command(name).description(text)));
  command.action(async (transportId: string, values: V & CommonValues) => {
    const found = await withConnection(transportId, values, (connection) => run(connection, values));
    if (values.outputFormat === 'json') print(json(found.json));
    else print(...found.text);
  });
}

export const asIs = (command: Command): Command => command;
