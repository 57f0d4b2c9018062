// Bdevs over the guest's own devices: an emulated NVMe disk and zoned namespaces, and a namespace that the guest's
// kernel has from our target, used by `uring`, `aio` and all mechanisms of `xnvme`.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { DiskImages } from './disk-images.ts';
import type { Held } from './programs/hold-bdevs.ts';
import { guestSuite } from './suite.ts';
import { freePort, Target } from './target.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const nqn = 'nqn.2024-01.io.spdk-ts:devices';
const root = fileURLToPath(new URL('../..', import.meta.url));
const seed = Number(process.env['GUEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const images = new DiskImages();

/** A controller with one namespace, for QEMU. */
function device(name: string, bytes: number, namespace: string): string[] {
  return [
    images.drive(name, bytes),
    `-device nvme,id=c-${name},serial=${name} -device nvme-ns,drive=${name},bus=c-${name}${namespace}`,
  ];
}

const BLOCK = 512;
const zones = { size: 64 * KiB, capacity: 48 * KiB, count: 16 };
const zoned = (more: string): string =>
  `,zoned=on,zoned.zone_size=${zones.size},zoned.zone_capacity=${zones.capacity}${more}`;

/** The program that holds bdevs to what they must do, as JavaScript. */
function compile(): string {
  const tsc = join(root, 'node_modules/.bin/tsc');
  const { status, stdout, stderr } = spawnSync(tsc, ['-p', join(root, 'test/linux-guest/programs')], {
    encoding: 'utf8',
  });
  expect(status, stdout + stderr).toBe(0);
  return join(root, 'build/guest/test/linux-guest/programs/hold-bdevs.js');
}

const some =
  '^(does every type|does random I/O one|does random I/O that overlaps|is reset under|is saved|has the data)';
const few = '^(does random I/O that overlaps|has the data)';

const uring = (filename: string): Held['call'] => ({
  method: 'bdev_uring_create',
  params: { name: 'U', filename },
});
const aio = (filename: string): Held['call'] => ({
  method: 'bdev_aio_create',
  params: { name: 'A', filename, fallocate: true },
});
const xnvme = (filename: string, io_mechanism: string, conserve_cpu = true): Held['call'] => ({
  method: 'bdev_xnvme_create',
  params: { name: 'X', filename, io_mechanism, conserve_cpu },
});

/** How long each part took, under emulation. */
const show = ({ output }: { output: string }): void => console.log(output);

/** A bash script that holds bdevs over a device, whose paths are $block and $generic. */
const hold = (find: string, held: Held[]): string => `
  ${find}
  list=$(cat <<'END'
${JSON.stringify(held)}
END
)
  list=\${list//BLOCK/$block}
  cd ${root}
  node $program $seed "\${list//GENERIC/$generic}" | tee "$out/log"`;

const bySerial = (serial: string): string => `
  for c in /sys/class/nvme/nvme*; do
    [ "$(tr -d ' ' <$c/serial)" = ${serial} ] || continue
    wait_for 10 test -e /dev/\${c##*/}n1
    block=/dev/\${c##*/}n1 generic=/dev/ng\${c##*/nvme}n1
  done
  test -b $block && test -c $generic`;
// biome-ignore lint/suspicious/noTemplateCurlyInString: of bash
const ofTarget = 'block=$(block_device $nqn) generic=${block/nvme/ng}';

console.log(`GUEST_SEED=${seed}`);

guestSuite('block devices of a guest', {
  seconds: 580,
  allowed: [
    /nvme nvme\d: (?:pci function|\d+\/\d+\/\d+ default\/read\/poll queues)/,
    // QEMU gives none
    /Ignoring bogus Namespace Identifiers/,
    // one active zone too many
    /I\/O Cmd\(0x1\) .*sct 0x1 \/ sc 0xbd/,
    /active zones exceeded error/,
  ],
  memoryMiB: 1536,
  qemu: [
    ...device('disk', 2 * MiB, ''),
    ...device('zones', zones.size * zones.count, zoned('')),
    ...device('few', zones.size * zones.count, zoned(',zoned.max_open=2,zoned.max_active=3')),
  ],
  start: async (world) => {
    const program = compile();
    world.target = await Target.start();
    world.port = await freePort();
    await world.target.createMalloc('m0', 2 * MiB, 4096);
    await world.target.export(nqn, ['m0'], world.port);
    return { nqn, seed, program };
  },
  stop: async () => images.dispose(),
  checks: () => [
    {
      title: 'an NVMe disk is a uring, an aio and an xnvme bdev that passes',
      expect: show,
      bash: hold(`modprobe nvme poll_queues=1\n${bySerial('disk')}`, [
        { title: 'uring', call: uring('BLOCK'), checks: some, expect: { direct: true, block_size: BLOCK } },
        { title: 'aio', call: aio('BLOCK'), checks: few, expect: { direct: true } },
        {
          title: 'xnvme io_uring_cmd',
          call: xnvme('GENERIC', 'io_uring_cmd'),
          checks: some,
          expect: { block_size: BLOCK, csi: 0, nsid: 1, polled: false },
        },
        {
          title: 'xnvme io_uring_cmd, polled',
          call: xnvme('GENERIC', 'io_uring_cmd', false),
          checks: few,
          expect: { polled: true },
        },
        {
          title: 'xnvme io_uring, polled',
          call: xnvme('BLOCK', 'io_uring', false),
          checks: few,
          expect: { polled: true },
        },
        { title: 'xnvme libaio', call: xnvme('BLOCK', 'libaio'), checks: few, expect: { polled: false } },
      ]),
    },
    {
      title: 'a zoned namespace is a zoned bdev, through the kernel and past it',
      expect: show,
      bash: hold(bySerial('zones'), [
        {
          title: 'uring',
          call: uring('BLOCK'),
          zone_capacity: zones.capacity / BLOCK,
          expect: {
            zoned: true,
            zone_size: zones.size / BLOCK,
            num_blocks: (zones.size / BLOCK) * zones.count,
          },
        },
        {
          title: 'xnvme io_uring_cmd',
          call: xnvme('GENERIC', 'io_uring_cmd'),
          zone_capacity: zones.capacity / BLOCK,
          expect: { zoned: true, zone_size: zones.size / BLOCK, csi: 2 },
        },
        { title: 'xnvme io_uring', call: xnvme('BLOCK', 'io_uring'), zone_capacity: zones.capacity / BLOCK },
      ]),
    },
    {
      title: 'its limits of open and active zones are told and held',
      expect: show,
      bash: hold(bySerial('few'), [
        {
          title: 'uring',
          call: uring('BLOCK'),
          max_active_zones: 3,
          expect: { max_open_zones: 2, max_active_zones: 3 },
        },
        {
          title: 'xnvme io_uring_cmd',
          call: xnvme('GENERIC', 'io_uring_cmd'),
          max_active_zones: 3,
          expect: { max_open_zones: 2, max_active_zones: 3 },
        },
      ]),
    },
    {
      title: 'a namespace of our own target, connected by the kernel, is one as well',
      expect: show,
      bash: hold(`attach $nqn\n${ofTarget}`, [
        { title: 'uring', call: uring('BLOCK'), checks: few, expect: { block_size: 4096 } },
        { title: 'aio', call: aio('BLOCK'), checks: few },
        {
          title: 'xnvme io_uring_cmd',
          call: xnvme('GENERIC', 'io_uring_cmd'),
          checks: some,
          expect: { block_size: 4096, polled: false },
        },
      ]),
    },
    {
      title: 'the drivers go',
      bash: 'modprobe -r nvme',
    },
  ],
});
