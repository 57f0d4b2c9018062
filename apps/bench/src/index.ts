export { benchCommand } from './command.ts';
export { type Order, orders, randomFrom, roundsOf } from './order.ts';
export { htmlReport } from './report/html.ts';
export { markdownReport } from './report/markdown.ts';
export { textReport } from './report/text.ts';
export type { Machine, Result, RowResult, Settings, SideResult } from './result.ts';
export { studentCdf, studentQuantile } from './statistics/student.ts';
export { type Summary, summarize } from './statistics/summary.ts';
export { type Better, compare, type Difference, type Verdict } from './statistics/welch.ts';
