// nvme-ts and nvme-identify on the guest's own devices: an emulated NVMe disk with a zoned namespace beside it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { native } from '@spdk-ts/native';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiskImages } from './disk-images.ts';
import { Guest } from './guest.ts';
import { unexpectedLines } from './kernel-log.ts';

const KiB = 1024;
const ZONE = 64 * KiB;
const root = fileURLToPath(new URL('../..', import.meta.url));
const images = new DiskImages();

/** What takes no program of its own: each costs ten seconds under emulation. */
const program = `
import { LocalDevice } from '${root}apps/nvme/dist/local-device.js';
const told = [];
const refused = async (run) => told.push(await run().then(() => 'succeeded', (error) => error.message));
const [, , place] = process.argv;
for (const name of ['/dev/nvme' + place, '/dev/null', '/dev/ng7n1']) await refused(() => LocalDevice.open(name));
const controller = await LocalDevice.open('/dev/nvme0');
await refused(async () => controller.io);
const { ver, nn } = await controller.identify();
const feature = await controller.admin.run({ opcode: 0x0a, cdw10: 7 });
const disk = await LocalDevice.open('/dev/ng' + place);
await refused(() => disk.io.succeed({ opcode: 2, nsid: 1, cdw11: 1 }, { in: 512, what: 'Read' }));
const data = await disk.namespace(1).read(8, 256);
await disk.namespace(1).flush();
const { createHash } = await import('node:crypto');
const namespaces = controller.namespaces.map(({ nsid, csi, block_size, num_blocks }) => [nsid, csi, block_size, num_blocks]);
console.log(JSON.stringify({ told, ver, nn, feature: feature.status, namespaces,
  sha: createHash('sha256').update(data).digest('hex') }));
`;

const programFile = join(images.folder, 'program.mjs');

const script = `
  modprobe nvme
  wait_for 10 test -c /dev/ng0n1
  wait_for 10 test -c /dev/ng0n2
  # The kernel numbers namespaces as it finds them.
  by_nsid() { local d; for d in /sys/block/nvme0n*; do [ "$(cat $d/nsid)" != $1 ] || echo \${d##*/nvme}; done; }
  disk=$(by_nsid 1) zones=$(by_nsid 2)
  nvme() { node ${root}apps/nvme/bin/nvme-ts.js "$@"; }
  node ${root}apps/nvme/bin/nvme-identify.js /dev/ng$zones --json >$out/report
  head -c 131072 /dev/urandom >/tmp/data
  nvme write /dev/ng$disk -s 8 -c 255 -d /tmp/data
  dd if=/dev/nvme$disk bs=512 skip=8 count=256 iflag=direct status=none | cmp - /tmp/data
  sha256sum </tmp/data >$out/sha
  head -c 1536 /tmp/data >/tmp/three
  nvme zns zone-append /dev/ng$zones -n 2 -s 128 -d /tmp/three -o json >$out/append
  nvme zns report-zones /dev/ng$zones -n 2 -o json >$out/zones
  node ${programFile} $disk >$out/program`;

describe.skipIf(native === null)('local devices of a guest (they need the addon)', () => {
  let guest: Guest;
  beforeAll(async () => {
    writeFileSync(programFile, program);
    guest = await Guest.start({
      scripts: [{ bash: script }],
      qemu: [
        `${images.drive('disk', 1024 * KiB)} ${images.drive('zones', 16 * ZONE)}`,
        '-device nvme,id=c,serial=LOCAL -device nvme-ns,drive=disk,bus=c',
        `-device nvme-ns,drive=zones,bus=c,zoned=on,zoned.zone_size=${ZONE}`,
      ],
      variables: {},
      seconds: 240,
    });
  });
  afterAll(async () => {
    await guest?.dispose();
    images.dispose();
  });

  it('Admin and I/O commands, blocks and zones; what cannot be done is said', async () => {
    const { status, output } = await guest.result(0);
    expect(status, output).toBe(0);
    const json = (name: string) => JSON.parse(guest.read(0, name));
    const report = json('report');
    const controller = { sn: expect.stringMatching(/^LOCAL/), mn: expect.stringContaining('QEMU') };
    expect(report).toMatchObject({
      device: expect.stringMatching(/^\/dev\/ng0n[12]$/),
      controller,
      namespaces: [{ nsid: 2, csi: 2 }],
    });
    expect(json('append')).toEqual({ lba: 128 });
    expect(json('zones').zones[1].wp).toBe(131);
    const { told, sha, namespaces, feature } = json('program');
    expect(guest.read(0, 'sha')).toContain(sha);
    expect(feature).toBe(0);
    expect(namespaces).toEqual([
      [1, 0, 512, 2048],
      [2, 2, 512, 2048],
    ]);
    expect(told).toEqual([
      expect.stringMatching(/nvme0n[12] is no character device/),
      expect.stringContaining('/dev/null: the driver refuses the command'),
      expect.stringContaining('/dev/ng7n1 cannot be opened'),
      expect.stringContaining(
        "is a controller's device: I/O commands go to a namespace's, such as /dev/ng0n1",
      ),
      expect.stringMatching(/Read failed: LBA Out of Range/),
    ]);
    const ended = await guest.ended;
    expect(unexpectedLines(ended.dmesg, [/nvme nvme\d: /, /Ignoring bogus Namespace Identifiers/])).toEqual(
      [],
    );
  });
});
