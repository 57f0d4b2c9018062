import { describe, expect, it } from 'vitest';
import { parseLoadAverage, parseMachineStat, parseMemory, parseProcessStat } from './proc.ts';

describe('/proc', () => {
  it('reads CPU time behind a name with spaces and parentheses', () => {
    const line =
      '6248 (re (a) ctor 0) R 6246 6246 4924 0 -1 4194560 73812 0 3 0 312 45 6 7 20 0 2 0 458230 3133440 408 1';
    expect(parseProcessStat(line)).toEqual({
      pid: 6248,
      name: 're (a) ctor 0',
      user_s: 3.18,
      system_s: 0.52,
    });
    expect(() => parseProcessStat('nothing')).toThrow('/proc/PID/stat');
  });

  it("reads the machine's time, steal apart", () => {
    const text =
      'cpu  118204 18693 41001 732187 674 12 3460 57 0 0\ncpu0 41858 8228 17387 387889 102 0 1278 33 0 0\n';
    const time = parseMachineStat(text);
    expect(time.busy_s).toBeCloseTo(1778.98, 6);
    expect(time.interrupts_s).toBeCloseTo(34.72, 6);
    expect(time.steal_s).toBeCloseTo(0.57, 6);
  });

  it('reads load and memory', () => {
    expect(parseLoadAverage('1.33 1.48 1.02 1/93 5600\n')).toBe(1.33);
    expect(parseMemory('VmPeak:\t 9 kB\nVmRSS:\t  1024 kB\nHugetlbPages:\t  2048 kB\n')).toEqual({
      rss: 1048576,
      hugepages: 2097152,
    });
    expect(parseMemory('')).toEqual({ rss: 0, hugepages: 0 });
  });
});
