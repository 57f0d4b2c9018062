// Adds up the test reports of a CI run: `sum-reports.mjs FOLDER FAILED_STEPS`. A step that failed without a failed
// test (a build, a crash of the runner) counts as one failure. Exits 1 if anything failed or nothing passed.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const [folder, failedSteps] = process.argv.slice(2);
let passed = 0;
let failed = 0;
for (const name of readdirSync(folder)) {
  if (name.endsWith('.json')) {
    const report = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    passed += report.numPassedTests;
    failed += report.numFailedTests;
  } else if (name.endsWith('.failed')) {
    const report = join(folder, name.replace(/\.failed$/, '.json'));
    const counted = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')).numFailedTests : 0;
    if (counted === 0) failed++;
  }
}
rmSync(folder, { recursive: true, force: true });
if (Number(failedSteps) > 0 && failed === 0) failed = Number(failedSteps);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
