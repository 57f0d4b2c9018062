/** Image files of disks that QEMU emulates, in a folder of the suite's own. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class DiskImages {
  readonly folder = mkdtempSync(join(tmpdir(), 'spdk-ts-disks-'));

  /** QEMU's arguments for a drive of zeroes with this name, which a device is to have. */
  drive(name: string, bytes: number): string {
    const file = join(this.folder, name);
    writeFileSync(file, '');
    truncateSync(file, bytes);
    return `-blockdev driver=raw,node-name=${name},discard=unmap,file.driver=file,file.filename=${file}`;
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true });
  }
}
