export { Application } from './application.ts';
export { bdevPlugin, nvmfPlugin, vhostPlugin } from './builtin-plugins.ts';
export { type Capability, capabilities } from './capabilities.ts';
export {
  type CreateTargetOptions,
  createTarget,
  type RunningTarget,
  type TargetNamespace,
} from './create-target.ts';
export { loadPlugin } from './load-plugin.ts';
export type { Notification } from './notifications.ts';
export {
  type AppOptionDefaults,
  type AppOptions,
  addAppOptions,
  DEFAULT_RPC_SOCKET,
  readAppOptions,
} from './options.ts';
export type { AppPlugin, ConfigEntry, Subsystem } from './plugin.ts';
export { Signals } from './signals.ts';
export { version } from './version.ts';
