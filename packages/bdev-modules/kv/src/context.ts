import type { LogFormat } from './layout.ts';
import type { SharedLog } from './log-state.ts';

/** What reactors need of a key-value log. */
export interface LogContext {
  readonly base_id: number;
  readonly base_name: string;
  readonly format: LogFormat;
  readonly shared: SharedLog;
}
