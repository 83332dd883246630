import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// etcd allocates two logs of 64 MiB ahead; the file stays sparse.
const imageBytes = 512 * 1024 * 1024;

/** A file system of its own, whose writes can be made to hang. Needs root and loop devices. */
export class LoopMount {
  private frozen = false;

  private constructor(readonly folder: string) {}

  /** `null` where the machine does not allow it. */
  static create(parent: string, name: string): LoopMount | null {
    const image = join(parent, `${name}.img`);
    const folder = join(parent, name);
    try {
      writeFileSync(image, '');
      truncateSync(image, imageBytes);
      mkdirSync(folder);
      execFileSync('mkfs.ext4', ['-q', '-F', image], { stdio: 'ignore' });
      execFileSync('mount', ['-o', 'loop', image, folder], { stdio: 'ignore' });
      return new LoopMount(folder);
    } catch {
      return null; // Not root, or no loop devices: the test says that it did not run.
    }
  }

  freeze(): void {
    execFileSync('fsfreeze', ['-f', this.folder]);
    this.frozen = true;
  }

  thaw(): void {
    if (this.frozen) execFileSync('fsfreeze', ['-u', this.folder]);
    this.frozen = false;
  }

  unmount(): void {
    this.thaw();
    execFileSync('umount', ['-l', this.folder]);
  }
}
