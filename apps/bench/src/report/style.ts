/** The look of the HTML report: light and dark, and on paper. Colours are told apart by the colour-blind too. */
export const style = `
:root { color-scheme: light dark; --page: #fbfbfa; --card: #fff; --field: #f4f5f6; --text: #1d2126; --soft: #5d6670;
  --rule: #dfe3e7; --good: #08754f; --bad: #b3371c; --same: #6a737d; --aim: #7a5a00;
  --c0: #5d6670; --c1: #0b66b8; --c2: #b3571c; --c3: #08754f; --c4: #8a3ea8; --c5: #8a6d00; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171a; --card: #1b1f23; --field: #22272c; --text: #e7eaed; --soft: #a0a9b2; --rule: #333a41;
    --good: #45c99b; --bad: #ff8b6b; --same: #9aa4ae; --aim: #e3b341;
    --c0: #a0a9b2; --c1: #62b0f5; --c2: #ffa565; --c3: #45c99b; --c4: #cf94e8; --c5: #e3c04a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1140px; padding: 32px 24px 64px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; }
h2 { font-size: 18px; margin: 40px 0 12px; }
h3 { font-size: 15px; margin: 22px 0 6px; }
p { margin: 6px 0; max-width: 78ch; }
.soft, caption { color: var(--soft); }
code { font: 13px/1.5 ui-monospace, 'DejaVu Sans Mono', monospace; }
pre { overflow-x: auto; padding: 10px 14px; background: var(--field); border-radius: 6px; margin: 12px 0; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 14px 18px; margin: 12px 0; }
.tally { display: flex; flex-wrap: wrap; gap: 10px; margin: 18px 0 6px; padding: 0; list-style: none; }
.tally li { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 8px 16px; }
.tally b { font-size: 22px; display: block; line-height: 1.2; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 2px 0 8px; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--rule); white-space: nowrap;
  vertical-align: top; }
th { font-weight: 600; color: var(--soft); }
th[scope=row] { color: var(--text); font-weight: 500; white-space: normal; min-width: 13em; }
tr:last-child > * { border-bottom: 0; }
.r { text-align: right; }
b.good, td.good, .tally .good { color: var(--good); } td.bad, .tally .bad { color: var(--bad); } td.same { color: var(--soft); }
summary { cursor: pointer; color: var(--soft); padding: 4px 0; }
svg { display: block; width: 100%; height: auto; margin: 4px 0; font: 13px system-ui, -apple-system, 'Segoe UI',
  'DejaVu Sans', sans-serif; fill: var(--text); }
svg .field { fill: var(--field); } svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .zero { stroke: var(--soft); stroke-width: 1.5; } svg .tick, svg .hint { fill: var(--soft); font-size: 12px; }
svg .figure { font-variant-numeric: tabular-nums; } svg .whisker { fill: none; stroke: currentColor; stroke-width: 2; }
svg .point { fill: currentColor; stroke: var(--field); stroke-width: 1.5; }
svg .aim { stroke: var(--aim); stroke-width: 2; stroke-dasharray: 3 3; }
svg .good { color: var(--good); } svg .bad { color: var(--bad); } svg .same { color: var(--same); }
svg .good .figure, svg .bad .figure { fill: currentColor; font-weight: 500; }
svg .rail { stroke: var(--rule); } svg .dot { fill: currentColor; fill-opacity: .55; }
svg .median { stroke: currentColor; stroke-width: 2.5; } svg .line { fill: none; stroke: currentColor; stroke-width: 2.5; }
svg .line + .whisker, svg .line ~ .dot { fill-opacity: 1; } svg .name { fill: currentColor; font-weight: 600; }
${[0, 1, 2, 3, 4, 5].map((i) => `svg .side${i} { color: var(--c${i}); }`).join(' ')}
.legend { display: inline-block; margin-right: 18px; } .legend i { font-style: normal; }
@media print { body { max-width: none; padding: 0; } .card { break-inside: avoid; } }
`;
