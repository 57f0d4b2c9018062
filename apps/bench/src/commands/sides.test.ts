import { describe, expect, it } from 'vitest';
import { parseSideArgument } from './sides.ts';

describe('sides of the command line', () => {
  it('may be plain', () => {
    expect(parseSideArgument('ours')).toMatchObject({ name: 'ours', program: 'ours', args: [] });
    expect(parseSideArgument('commit:HEAD~1')).toMatchObject({ name: 'HEAD~1', program: 'commit:HEAD~1' });
  });

  it('may have names and settings', () => {
    expect(parseSideArgument('poll=ours,args=--reactor-mode poll,bdev=null:1G')).toMatchObject({
      ...{ name: 'poll', program: 'ours', args: ['--reactor-mode', 'poll'], bdev: 'null:1G' },
    });
    expect(parseSideArgument('spdk,transport={"zcopy":true,"c":1}')).toMatchObject({
      ...{ program: 'spdk', transport: { zcopy: true, c: 1 } },
    });
    expect(parseSideArgument('portable=ours,env=SPDK_TS_NATIVE:0').env).toEqual({ SPDK_TS_NATIVE: '0' });
  });

  it('may have more than one of what there can be more of', () => {
    expect(
      parseSideArgument('ours,env=A:1,args=-a,fio=x:1,env=B:2:3,args=-b c,fio=y:2,env=A:0'),
    ).toMatchObject({ env: { A: '0', B: '2:3' }, args: ['-a', '-b', 'c'], fio: { x: '1', y: '2' } });
    expect(() => parseSideArgument('ours,bdev=null:1G,bdev=null:2G')).toThrow('bdev is given twice');
  });

  it('may be command lines', () => {
    expect(parseSideArgument('cmd:/opt/x/perf -q {depth} -w a=b,c')).toMatchObject({
      ...{ name: 'perf', program: 'command', command: '/opt/x/perf -q {depth} -w a=b,c' },
    });
    expect(parseSideArgument('old=cmd:perf --a=b')).toMatchObject({ name: 'old', command: 'perf --a=b' });
  });

  it.each([
    ['theirs', "'theirs' is none of ours"],
    ['cmd:', 'no command line'],
    ['ours,transport={', 'not JSON'],
    ['ours,env=X', 'env=NAME:VALUE'],
  ])('refuses %s', (text, why) => {
    expect(() => parseSideArgument(text)).toThrow(why);
  });
});
