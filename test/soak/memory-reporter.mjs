// Loaded into the target before anything else (`node --import`), and so into each of its workers: appends what
// memory the thread holds to the file that MEMORY_REPORT names, once a second.
import { appendFileSync } from 'node:fs';
import { threadId } from 'node:worker_threads';

const file = process.env.MEMORY_REPORT;
if (file !== undefined)
  setInterval(() => {
    const { external, heapUsed } = process.memoryUsage();
    appendFileSync(file, `${JSON.stringify({ threadId, external, heapUsed })}\n`);
  }, 1000).unref();
