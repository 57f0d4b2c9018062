// Writes the tables of docs/conformance.md from reports of `npm run test:conformance -- --json FILE`:
// node scripts/conformance-tables.mjs NAME=FILE…, ours first. What stands outside of the marks is left as it is.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const page = fileURLToPath(new URL('../docs/conformance.md', import.meta.url));
const runs = process.argv.slice(2).map((argument) => {
  const [, name, file] = /^([^=]+)=(.+)$/.exec(argument) ?? [];
  if (file === undefined) {
    console.error(`conformance-tables: ${argument}: give NAME=FILE`);
    process.exit(1);
  }
  return { name, ...JSON.parse(readFileSync(file, 'utf8')) };
});

const VERDICTS = ['as expected', 'otherwise', 'not applicable', 'not run'];
const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
const row = (...cells) => `| ${cells.map(cell).join(' | ')} |`;
const table = (head, rows) => [row(...head), row(...head.map(() => '---')), ...rows].join('\n');

const totals = table(
  ['Target', 'Version', ...VERDICTS],
  runs.map(({ name, target, findings }) =>
    row(
      name,
      `${target.model} ${target.firmware}, NVMe ${target.version}`,
      ...VERDICTS.map((verdict) => findings.filter((finding) => finding.verdict === verdict).length),
    ),
  ),
);

const found = runs.map(({ findings }) => new Map(findings.map((finding) => [finding.id, finding])));
const areas = [...new Set(runs[0].findings.map(({ area }) => area))];
const sections = areas.flatMap((area) => {
  const rows = runs[0].findings
    .filter((finding) => finding.area === area)
    .filter(({ id }) => found.some((of) => of.get(id)?.verdict === 'otherwise'))
    .map(({ id, section, severity, title, expected }) =>
      row(
        `\`${id}\`<br>${section}, ${severity}`,
        title,
        expected,
        ...found.slice(1).map((of) => {
          const finding = of.get(id);
          if (finding === undefined) return '';
          if (finding.verdict === 'as expected') return '✓';
          return finding.verdict === 'otherwise' ? finding.seen : `(${finding.verdict})`;
        }),
      ),
    );
  if (rows.length === 0) return [];
  const head = [
    'Check',
    'What is done',
    'Expected, and seen of ours',
    ...runs.slice(1).map(({ name }) => name),
  ];
  return [`### ${area}\n\n${table(head, rows)}`];
});

let text = readFileSync(page, 'utf8');
for (const [mark, content] of [
  ['totals', totals],
  ['differences', sections.join('\n\n')],
]) {
  const [begin, end] = [`<!-- ${mark} -->`, `<!-- end of ${mark} -->`];
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) {
    console.error(`conformance-tables: ${page} has no ${begin} with ${end} behind it`);
    process.exit(1);
  }
  text = `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`;
}
writeFileSync(page, text);
