/*
 * Markup by template: text is escaped, markup that was made here is not.
 */

/** Markup that may stand as it is. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | Markup | null | readonly (string | number | Markup)[];

const ENTITIES: Readonly<Record<string, string>> = {
  ...{ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' },
};

export const escapeText = (text: string): string => text.replace(/[&<>"']/g, (found) => ENTITIES[found]!);

function toText(value: Value): string {
  if (value === null) return '';
  if (value instanceof Markup) return value.text;
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : value.toFixed(2);
  return typeof value === 'string' ? escapeText(value) : value.map(toText).join('');
}

/** A template of HTML or SVG. */
export function markup(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  return new Markup(parts.reduce((text, part, i) => text + toText(values[i - 1] ?? null) + part));
}
