/**
 * Names for logs, spelled from the keys of a table of codes: `getLogPage: 0x02` is printed `GET LOG PAGE`.
 */

/** Makes a function from code to name; codes outside the table are printed in hexadecimal. */
export function namesOf(table: Readonly<Record<string, number>>): (code: number) => string {
  const names = new Map<number, string>();
  for (const [key, code] of Object.entries(table)) {
    if (!names.has(code)) names.set(code, key.replace(/([a-z0-9])([A-Z])/g, '$1 $2').toUpperCase());
  }
  return (code) => names.get(code) ?? `0x${code.toString(16).padStart(2, '0')}`;
}
