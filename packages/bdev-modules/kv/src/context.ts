import type { StackedContext } from '@spdk-ts/vbdev';
import type { LogFormat } from './layout.ts';
import type { SharedLog } from './log-state.ts';

/** What reactors need of a key-value log. */
export interface LogContext extends StackedContext {
  readonly format: LogFormat;
  readonly shared: SharedLog;
}
