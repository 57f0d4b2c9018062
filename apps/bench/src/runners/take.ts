import type { Row, Side } from '../scenario/types.ts';
import { takeBdevperf } from './bdevperf.ts';
import { takeNvmf } from './nvmf.ts';
import { takeCommand, takeFio } from './programs.ts';
import { takeIdle, takeStartup } from './rest.ts';
import type { Attempt, Session, Take } from './session.ts';

const byRun: Readonly<Record<Row['run'], Take>> = {
  ...{ bdevperf: takeBdevperf, nvmf: takeNvmf, idle: takeIdle, startup: takeStartup },
};

/** Takes one sample of a side of a row, in whatever way it has. */
export function take(session: Session, row: Row, side: Side): Promise<Attempt> {
  if (side.program === 'command') return takeCommand(session, row, side);
  if (side.program === 'fio') return takeFio(session, row, side);
  return byRun[row.run](session, row, side);
}
