/** The vhost-user target: bdevs as disks of virtual machines. The control half. */
export { registerVhostRpcs, type VhostRegistrar } from './control/rpc.ts';
export { VhostTarget, type VhostTargetParts } from './control/target-control.ts';

/** The target's plugin for reactors: after those of the block device layer and its modules. */
export const vhostReactorEntry: string = new URL('./reactor.js', import.meta.url).href;
