import { Logger } from '@spdk-ts/log';
import type { Application } from './application.ts';

const ENDING = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const;
/** Exit statuses of a process that a signal ended; 0 for the others, which ask for an orderly end. */
const status: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 129, SIGQUIT: 131 };

/**
 * The signals that end an application. Watched from before it starts: whoever asks it to end while it starts gets
 * an orderly end as well. A second signal ends the process at once.
 */
export class Signals {
  private readonly log = new Logger('app');
  private readonly first: Promise<NodeJS.Signals>;

  constructor() {
    this.first = new Promise((resolve) => {
      let asked = false;
      for (const signal of ENDING)
        process.on(signal, () => {
          if (asked) {
            this.log.warn(`${signal} again: ending without cleaning up`);
            process.exit(1);
          }
          asked = true;
          this.log.notice(`${signal}: shutting down`);
          resolve(signal);
        });
    });
    process.on('SIGUSR1', () => this.log.notice('SIGUSR1: nothing to do'));
  }

  /** Resolves with the exit status once a signal has asked the application to end and it has. */
  async end(app: Application): Promise<number> {
    const signal = await this.first;
    await app.stop();
    return status[signal] ?? 0;
  }
}
