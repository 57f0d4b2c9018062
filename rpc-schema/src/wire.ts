import { defineMethod, type Method, type MethodCli } from './method.ts';
import { type Field, type Fields, fieldOf } from './types.ts';

/** A parameter that only a conversion fills in would have no spelling without it: it gets the usual one. */
function shown(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, entry]): [string, Field] => {
      const { cli, ...field } = fieldOf(entry);
      return [name, cli === undefined || cli.form === 'none' ? field : { ...field, cli }];
    }),
  );
}

/**
 * A method's description as JSON, for clients that do not have it. Functions cannot travel: without `cli.toParams`, the
 * command line takes the parameters as they are.
 */
export function methodToJson(method: Method): Method {
  const { toParams, print, hidden } = method.cli;
  if (toParams === undefined) return method;
  const cli: MethodCli = { ...(print !== undefined && { print }), ...(hidden !== undefined && { hidden }) };
  return { ...method, params: shown(method.params), cli };
}

/** The method behind what {@link methodToJson} gave. Throws an Error for what is no description of a method. */
export function methodFromJson(json: unknown): Method {
  const { name, family, params, result, ...rest } = json as Method;
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;
  if (typeof name !== 'string' || !isObject(params) || !isObject(result))
    throw new Error('this is no description of a method: it lacks name, params or result');
  return defineMethod({ ...rest, name, params, result }, family) as Method;
}
