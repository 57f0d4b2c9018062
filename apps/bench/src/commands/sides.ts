import { parseSide } from '../scenario/parse.ts';
import type { Side } from '../scenario/types.ts';

export const sidesHelp = `
A side is [NAME=]WHAT[,KEY=VALUE…]:
  ours                   this checkout
  spdk                   SPDK (needs --spdk DIR)
  commit:REF             a commit of ours, checked out beside this one and built
  fio                    fio on the same file (for --bdev file, aio, uring)
  cmd:COMMAND LINE       anything that prints as bdevperf, spdk_nvme_perf or fio --output-format=json does;
                         {workload} {size} {depth} {time} {warmup} stand for the options
Keys, for all but cmd: args (arguments of the program), bdev, env (VAR:VALUE), transport (JSON), fio (OPTION:VALUE);
args, env and fio may be given more than once:
  'poll=ours,args=--reactor-mode poll'   'portable=ours,env=SPDK_TS_NATIVE:0'   'spdk,transport={"zcopy":true}'`;

const KEYS = ['args', 'bdev', 'env', 'transport', 'fio'];

/** Reads a side of the command line. Throws an Error that says what is wrong. */
export function parseSideArgument(text: string): Side {
  const named = /^([\w .+-]+)=(.*)$/s.exec(text);
  // `ours,args=…` is no name: a name stands before the first comma.
  const [name, what] = named !== null ? [named[1]!, named[2]!] : [null, text];
  if (what.startsWith('cmd:')) {
    const command = what.slice(4).trim();
    if (command === '') throw new Error(`side '${text}': no command line behind cmd:`);
    return parseSide(
      name ?? command.split(/\s/)[0]!.split('/').at(-1)!,
      { program: 'command', command },
      text,
    );
  }
  const [program, ...settings] = splitSettings(what);
  if (!/^(ours|spdk|fio|commit:.+)$/.test(program!))
    throw new Error(`side '${text}': '${program}' is none of ours, spdk, fio, commit:REF, cmd:COMMAND LINE`);
  const fields: Record<string, unknown> = {};
  for (const setting of settings) {
    const [key, value] = readSetting(text, setting);
    fields[key] = key in fields ? together(text, key, fields[key], value) : value;
  }
  return parseSide(name ?? what.replace(/^commit:/, ''), { program, ...fields }, `side '${text}'`);
}

/** Splits before `,KEY=`: other commas belong to values. */
function splitSettings(text: string): string[] {
  return text.split(new RegExp(`,(?=(?:${KEYS.join('|')})=)`));
}

/** The value of a key that is given again. */
function together(side: string, key: string, before: unknown, value: unknown): unknown {
  if (key === 'args') return [...(before as string[]), ...(value as string[])];
  if (key === 'env' || key === 'fio') return { ...(before as object), ...(value as object) };
  throw new Error(`side '${side}': ${key} is given twice`);
}

function readSetting(side: string, setting: string): [string, unknown] {
  const equals = setting.indexOf('=');
  const [key, value] = [setting.slice(0, equals), setting.slice(equals + 1)];
  if (key === 'args') return [key, value.split(' ').filter(Boolean)];
  if (key === 'transport') {
    try {
      return [key, JSON.parse(value)];
    } catch {
      throw new Error(`side '${side}': transport is not JSON: ${value}`);
    }
  }
  if (key === 'env' || key === 'fio') {
    const colon = value.indexOf(':');
    if (colon < 1) throw new Error(`side '${side}': ${key}=NAME:VALUE, not ${value}`);
    return [key, { [value.slice(0, colon)]: value.slice(colon + 1) }];
  }
  return [key, value];
}
