import type { Method, PrintForm } from './method.ts';
import {
  type CliForm,
  type Field,
  type Fields,
  fieldOf,
  option,
  positional,
  type SomeType,
  set,
  type Type,
} from './types.ts';
import { parseValue } from './validate.ts';

/** One argument of a command, positional or an option. */
export interface CliArgument {
  /** Name of the parameter, the field of an object, or the client-side argument. */
  readonly name: string;
  readonly form: Exclude<CliForm['form'], 'fields' | 'none'>;
  /** As in `-b, --name`; empty for positional ones. */
  readonly flags: string;
  readonly field: Field;
}

/** The spelling of a field that does not say any: required ones are positional, the others long options. */
function formOf(name: string, field: Field): CliForm {
  if (field.cli !== undefined) return field.cli;
  if (field.required) return positional;
  const flags = `--${name.replaceAll('_', '-')}`;
  return (field.type as SomeType).kind === 'bool' ? set(flags) : option(flags);
}

function* argumentsIn(fields: Fields): Generator<CliArgument> {
  for (const [name, entry] of Object.entries(fields)) {
    const field = fieldOf(entry);
    const form = formOf(name, field);
    if (form.form === 'fields') yield* argumentsIn((field.type as SomeType & { kind: 'object' }).fields);
    else if (form.form !== 'none') {
      yield { name, form: form.form, flags: 'flags' in form ? form.flags : '', field };
    }
  }
}

/** The arguments of a method's command, positional ones first and in order. */
export function cliArguments(method: Method): CliArgument[] {
  const all = [...argumentsIn(method.cli.args ?? {}), ...argumentsIn(method.params)];
  const order = method.cli.positionals ?? [];
  const place = ({ name }: CliArgument) => (order.includes(name) ? order.indexOf(name) : order.length);
  return [
    ...all.filter(({ form }) => form === 'positional').sort((a, b) => place(a) - place(b)),
    ...all.filter(({ form }) => form !== 'positional'),
  ];
}

/** Turns the text of an argument into its value. Throws an Error that says what is accepted. */
export function parseArgument(type: Type, name: string, text: string, field?: Field): unknown {
  const known = type as SomeType;
  switch (known.kind) {
    case 'integer':
    case 'number': {
      const form =
        known.kind === 'integer' ? /^[-+]?(?:\d+|0x[\da-f]+)$/i : /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i;
      return parseValue(type, name, form.test(text.trim()) ? Number(text) : text, field);
    }
    case 'bool':
      return parseValue(type, name, text === 'true' ? true : text === 'false' ? false : text);
    case 'array':
      return parseValue(
        type,
        name,
        text.split(',').map((item) => parseArgument(known.item, name, item, field)),
      );
    case 'bitmask':
      return parseValue(type, name, text.split(','));
    case 'string':
    case 'uuid':
    case 'enum':
      return parseValue(type, name, text, field);
    default:
      try {
        return JSON.parse(text);
      } catch {
        throw new Error(`parameter "${name}" is not JSON; give a JSON value in quotes`);
      }
  }
}

/** Puts the fields of objects that were spelled one by one back into their objects. */
function regroup(fields: Fields, args: Record<string, unknown>): Record<string, unknown> {
  const params = { ...args };
  for (const [name, entry] of Object.entries(fields)) {
    const field = fieldOf(entry);
    if (formOf(name, field).form !== 'fields') continue;
    const inner = (field.type as SomeType & { kind: 'object' }).fields;
    const found = Object.keys(inner).filter((key) => Object.hasOwn(params, key));
    if (found.length > 0) params[name] = Object.fromEntries(found.map((key) => [key, params[key]]));
    for (const key of found) delete params[key];
  }
  return params;
}

/** The parameters of the call that a command with these arguments makes. Throws an Error for the user. */
export function paramsFromArguments(method: Method, args: Record<string, unknown>): Record<string, unknown> {
  return regroup(method.params, method.cli.toParams?.(args) ?? args);
}

/** How the result of a command is printed. */
export function printForm(method: Method): PrintForm {
  if (method.cli.print !== undefined) return method.cli.print;
  const { kind } = method.result as SomeType;
  return kind === 'bool' ? 'none' : kind === 'string' ? 'text' : 'json';
}
