/** What this package says about its work goes here. */
export interface RpcLogger {
  debug(message: string): void;
  info(message: string): void;
  notice(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

const ignore = () => {};
export const silentLogger: RpcLogger = {
  debug: ignore,
  info: ignore,
  notice: ignore,
  warn: ignore,
  error: ignore,
};
