import { vhostReactorPlugin } from './plugin.ts';

/** The vhost target's entry on each reactor. */
export default vhostReactorPlugin;
