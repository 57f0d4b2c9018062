import { version } from '@spdk-ts/app';
import { Command } from 'commander';
import { addFeatureVerbs, addIdentifyVerbs, addLogVerbs } from './admin-verbs.ts';
import { addBlockVerbs, addKeyVerbs, addPassthruVerbs, addZoneVerbs } from './io-verbs.ts';

process.stdout.on('error', () => {}); // whoever read the output may be gone
const program = new Command('nvme-ts')
  .version(version, '-v, --version')
  .description(
    'Looks into NVMe-oF subsystems and uses them, without privileges: nvme-cli’s verbs against a transport id, or a device of this machine.',
  )
  .showHelpAfterError('(nvme-ts --help lists the verbs)');
for (const add of [
  addIdentifyVerbs,
  addLogVerbs,
  addFeatureVerbs,
  addBlockVerbs,
  addPassthruVerbs,
  addZoneVerbs,
  addKeyVerbs,
])
  add(program);
try {
  await program.parseAsync();
} catch (error) {
  console.error(`nvme-ts: ${(error as Error).message}`);
  process.exitCode = 1;
}
