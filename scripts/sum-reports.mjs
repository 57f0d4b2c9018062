// Adds up the test reports of a CI run: `sum-reports.mjs FOLDER FAILED_STEPS`. What failed is said again, by its step,
// file and name, right above the sum: the output of the suites is long, and may be cut before it is read.
// A step that failed without a failed test (a build, a crash of the runner) counts as one failure. Exits 1 if anything
// failed or nothing passed.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Characters of each failure's message that are repeated. */
const MESSAGE = 1500;

const [folder, failedSteps] = process.argv.slice(2);
let passed = 0;
let failed = 0;

/** A step's report; null where there is none, or only a part of one: its step was ended while it wrote. */
function read(step) {
  try {
    return JSON.parse(readFileSync(join(folder, `${step}.json`), 'utf8'));
  } catch {
    return null;
  }
}

/** @param {string} text */
function printed(text) {
  return text.length > MESSAGE ? `${text.slice(0, MESSAGE)} …` : text;
}

for (const name of readdirSync(folder).sort()) {
  const step = name.replace(/\.(?:json|failed)$/, '');
  if (name.endsWith('.json')) {
    const report = read(step);
    if (report === null) {
      // Otherwise said below, with the step.
      if (!existsSync(join(folder, `${step}.failed`))) {
        console.log(`FAILED: the report of the step ${step} cannot be read`);
        failed++;
      }
      continue;
    }
    passed += report.numPassedTests;
    failed += report.numFailedTests;
    for (const file of report.testResults) {
      const where = relative(process.cwd(), file.name);
      const failures = file.assertionResults.filter((test) => test.status === 'failed');
      for (const test of failures) {
        console.log(
          `FAILED in ${step}: ${where} > ${test.fullName}\n${printed(test.failureMessages.join('\n'))}`,
        );
      }
      // A file that could not be loaded, or whose set-up failed, has no failed test.
      if (file.status === 'failed' && failures.length === 0) {
        console.log(`FAILED in ${step}: ${where}\n${printed(file.message ?? '')}`);
      }
    }
  } else if (name.endsWith('.failed')) {
    if ((read(step)?.numFailedTests ?? 0) === 0) {
      console.log(`FAILED: the step ${step}`);
      failed++;
    }
  }
}
rmSync(folder, { recursive: true, force: true });
if (Number(failedSteps) > 0 && failed === 0) failed = Number(failedSteps);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
