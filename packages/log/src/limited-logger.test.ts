import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LimitedLogger, Logger, setLogWriter } from './index.ts';

describe('a limited logger', () => {
  let lines: string[];
  let before: (line: string) => void;
  beforeEach(() => {
    lines = [];
    before = setLogWriter((line) => lines.push(line.replace(/^\[.*?\] /, '').trim()));
  });
  afterEach(() => setLogWriter(before));

  it('says so many lines a period, and then how many more there were', () => {
    const log = new LimitedLogger(new Logger('vhost'), 'front-ends', 2);
    for (const text of ['a', 'b', 'c']) log.warn(text);
    log.error('d');
    log.endPeriod();
    log.error('e');
    log.endPeriod();
    expect(lines).toEqual([
      'vhost: *WARNING*: a',
      'vhost: *WARNING*: b',
      'vhost: *WARNING*: 2 more complaints about front-ends are not shown',
      'vhost: *ERROR*: e',
    ]);
  });
});
