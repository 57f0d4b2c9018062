import { EXIT_FAILED } from './options.ts';

/**
 * An action for a command: what it returns is the exit code. Errors are for the user, so their message is printed,
 * without a stack.
 */
export function guarded<A extends unknown[]>(
  name: string,
  action: (...args: A) => number | Promise<number>,
): (...args: A) => Promise<void> {
  return async (...args) => {
    try {
      process.exitCode = await action(...args);
    } catch (error) {
      console.error(`bench ${name}: ${(error as Error).message}`);
      process.exitCode = EXIT_FAILED;
    }
  };
}
