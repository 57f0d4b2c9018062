import {
  getLogFlags,
  getLogLevel,
  getPrintLevel,
  setLogFlag,
  setLogLevel,
  setPrintLevel,
  setTimestamps,
} from '@spdk-ts/log';
import { invalidParams } from '@spdk-ts/rpc';
import type { Application } from '../application.ts';

/** The log_* family. */
export function registerLogRpcs({ rpc }: Application): void {
  const change = (flag: string, on: boolean): boolean => {
    if (!setLogFlag(flag, on))
      throw invalidParams(
        `flag is '${flag}'; there are all, ${Object.keys(getLogFlags()).join(', ')}`,
        'flag',
      );
    return true;
  };
  rpc.register('log_set_flag', ({ flag }) => change(flag, true));
  rpc.register('log_clear_flag', ({ flag }) => change(flag, false));
  rpc.register('log_get_flags', () => getLogFlags());
  rpc.register('log_set_level', ({ level }) => {
    setLogLevel(level);
    return true;
  });
  rpc.register('log_get_level', () => getLogLevel());
  rpc.register('log_set_print_level', ({ level }) => {
    setPrintLevel(level);
    return true;
  });
  rpc.register('log_get_print_level', () => getPrintLevel());
  rpc.register('log_enable_timestamps', ({ enabled }) => {
    setTimestamps(enabled);
    return true;
  });
}
