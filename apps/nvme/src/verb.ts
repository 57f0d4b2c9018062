import type { Command } from 'commander';
import type { Device } from './device.ts';
import { type CommonValues, common, withDevice } from './options.ts';
import { json, print } from './output.ts';

/** What a verb has found, to be printed as text or as JSON. */
export interface Found {
  readonly text: readonly string[];
  readonly json: unknown;
}

/** Adds a verb: `run` gets the device and the values of its options, and tells what to print. */
export function verb<V extends object>(
  program: Command,
  name: string,
  text: string,
  addOptions: (command: Command) => Command,
  run: (device: Device, values: V & CommonValues) => Promise<Found>,
): void {
  const command = addOptions(common(program.command(name).description(text)));
  command.action(async (where: string, values: V & CommonValues) => {
    const found = await withDevice(where, values, (device) => run(device, values));
    if (values.outputFormat === 'json') print(json(found.json));
    else print(...found.text);
  });
}

export const asIs = (command: Command): Command => command;
