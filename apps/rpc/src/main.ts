import { processOutput } from './output.ts';
import { run } from './run.ts';

// A reader such as `head` that has enough is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await run(process.argv.slice(2), { stdin: process.stdin, output: processOutput });
