import type { Application } from './application.ts';

/** Exit statuses of a process that a signal ended. */
const status: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 129, SIGQUIT: 131 };

/**
 * Resolves with the exit status once a signal has asked the application to end and it has. A second signal ends
 * the process at once.
 */
export function runUntilSignal(app: Application): Promise<number> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (asked) {
          app.log.warn(`${signal} again: ending without cleaning up`);
          process.exit(1);
        }
        asked = true;
        app.log.notice(`${signal}: shutting down`);
        void app.stop().then(() => resolve(status[signal] ?? 0));
      });
    }
    process.on('SIGUSR1', () => app.log.notice('SIGUSR1: nothing to do'));
  });
}
