import { startWorkerEarly } from '@spdk-ts/reactor/worker-start';

// The target needs a reactor: it loads beside the rest.
const [command, ...rest] = process.argv.slice(2);
if (command === 'tgt' && !rest.some((option) => option === '-h' || option === '--help')) startWorkerEarly();
await import('./cli.ts');
