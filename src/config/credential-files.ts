import { statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { TlsFiles } from './config';
import { readTlsFiles } from './tls-files';

const lookEveryMs = 1_000;
/** After new files with which no connection could be made. */
const retryAfterMs = 5_000;

/** Notices that PEM files were replaced on disk, for connections that read them once. Looks once a second at most. */
export class CredentialFiles {
  private used: string;
  private nextLookAt = performance.now() + lookEveryMs;

  constructor(private readonly files: TlsFiles) {
    this.used = this.fingerprint();
  }

  /**
   * The state of the files, when it is not the one in use and they belong together; it becomes the one in use by `accept`.
   * `null`: nothing to do. Files that are being replaced, one after the other, are waited for.
   */
  replaced(): string | null {
    const now = performance.now();
    if (now < this.nextLookAt) return null;
    this.nextLookAt = now + lookEveryMs;
    const found = this.fingerprint();
    if (found === this.used) return null;
    try {
      createSecureContext(readTlsFiles(this.files));
      // Replaced once more while they were read: the next look takes them as one.
      return this.fingerprint() === found ? found : null;
    } catch {
      // A key that does not fit its certificate yet, or half a file.
      return null;
    }
  }

  accept(state: string): void {
    this.used = state;
  }

  /** The server did not take them: what is connected goes on as it is, and they are tried again later. */
  refuse(): void {
    this.nextLookAt = performance.now() + retryAfterMs;
  }

  /** Mounted secrets are replaced by another link, which shows in the inode. */
  private fingerprint(): string {
    const { caFile, certFile, keyFile } = this.files;
    return [caFile, certFile, keyFile]
      .map((file) => {
        const stat = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
        return stat ? `${stat.ino} ${stat.mtimeMs} ${stat.size}` : '-';
      })
      .join();
  }
}
