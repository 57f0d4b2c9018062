import { type CliArgument, cliArguments } from './cli.ts';
import type { Method } from './method.ts';
import { type Field, type Fields, fieldOf, type SomeType, type Type } from './types.ts';

const stateText = {
  startup: 'startup only (before `framework_start_init`)',
  runtime: 'runtime',
  both: 'startup and runtime',
};

/** A type in a few words, as tables have it. */
export function typeName(type: Type): string {
  const known = type as SomeType;
  switch (known.kind) {
    case 'bool':
      return 'boolean';
    case 'integer':
      return known.width;
    case 'enum':
      return known.values.map((value) => `"${value}"`).join(' \\| ');
    case 'bitmask':
      return `array of ${known.values.map((value) => `"${value}"`).join(' \\| ')}`;
    case 'array':
      return `array of ${typeName(known.item)}${known.max === undefined ? '' : `, at most ${known.max}`}`;
    case 'map':
      return `object of ${typeName(known.value)}`;
    case 'nullable':
      return `${typeName(known.inner)} or null`;
    case 'union':
      return known.options.map(typeName).join(' or ');
    default:
      return known.kind;
  }
}

/** The objects inside a type, with the path by which they are reached. */
function nested(type: Type, path: string): [string, Fields][] {
  const known = type as SomeType;
  switch (known.kind) {
    case 'object':
      return [[path, known.fields]];
    case 'array':
      return nested(known.item, `${path}[]`);
    case 'map':
      return nested(known.value, path === '' ? '*' : `${path}.*`);
    case 'nullable':
      return nested(known.inner, path);
    case 'union':
      return known.options.slice(0, 1).flatMap((option) => nested(option, path));
    default:
      return [];
  }
}

const dotted = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);

function meaning(field: Field): string {
  const unit = field.unit === undefined ? '' : ` Unit: ${field.unit}.`;
  const absent = field.default === undefined ? '' : ` Default: ${field.default}.`;
  const old = field.deprecated === undefined ? '' : ` **Deprecated:** ${field.deprecated}.`;
  return `${field.text}${unit}${absent}${old}`.trim();
}

function rows(fields: Fields, path: string): string[] {
  return Object.entries(fields).flatMap(([name, entry]) => {
    const field = fieldOf(entry);
    const at = dotted(path, name);
    const presence = field.required ? 'yes' : '';
    const row = `| \`${at}\` | ${typeName(field.type)} | ${presence} | ${meaning(field)} |`;
    return [row, ...nested(field.type, at).flatMap(([inner, below]) => rows(below, inner))];
  });
}

function spelled({ name, form, flags, field }: CliArgument): string {
  if (form === 'positional') return field.required ? `<${name}>` : `[${name}]`;
  const text = {
    value: `${flags} <value>`,
    set: flags,
    clear: flags,
    toggle: `${flags} | ${flags.replace('--', '--no-')}`,
  }[form];
  return field.required ? `(${text})` : `[${text}]`;
}

function commandOf(method: Method): string[] {
  if (method.cli.hidden === true) return [];
  const words = [method.name, ...cliArguments(method).map(spelled)].join(' ');
  return ['```', `rpc.ts ${words}`, '```', ''];
}

function resultOf(method: Method): string[] {
  const found = nested(method.result, '');
  const text = method.resultText === '' ? '' : ` — ${method.resultText}`;
  const lines = [`Result: ${typeName(method.result)}${text}`, ''];
  const table = found.flatMap(([path, fields]) => rows(fields, path));
  if (table.length === 0) return lines;
  return [...lines, '| Field | Type | Always | Meaning |', '|---|---|---|---|', ...table, ''];
}

/** One method as a section of the reference. */
export function methodMarkdown(method: Method): string {
  const params = rows(method.params, '');
  const origin = method.own ? ' Not in SPDK.' : '';
  const relaxed = method.relaxed ? ' Unknown parameters are ignored.' : '';
  const errors = [
    ...(params.length > 0 ? [`| ${method.decodeError} | \`${method.decodeText}: …\` |`] : []),
    ...method.errors.map(([code, text]) => `| ${code} | ${text} |`),
  ];
  return [
    `### ${method.name}`,
    '',
    `${method.text}${origin}`,
    '',
    `State: ${stateText[method.state]}.${relaxed}`,
    '',
    ...commandOf(method),
    ...(params.length === 0
      ? ['No parameters.', '']
      : ['| Parameter | Type | Required | Meaning |', '|---|---|---|---|', ...params, '']),
    ...resultOf(method),
    ...(errors.length === 0 ? [] : ['| Error | Reason |', '|---|---|', ...errors, '']),
  ].join('\n');
}

/** Sections for methods, under the headings of their families. */
export function methodsMarkdown(methods: readonly Method[]): string {
  const families = new Set(methods.map(({ family }) => family));
  return [...families]
    .map((name) => {
      const members = methods.filter(({ family }) => family === name);
      return [`## ${name}`, '', ...members.map(methodMarkdown)].join('\n');
    })
    .join('\n');
}
