import { readKeys } from '../config/key-folder';

/** Between two looks into the folder for a key that is not known. */
const lookAgainMs = 1_000;

/** A payload is sealed with a key that is not here. What it says is unknown, so nothing may be decided from it. */
export class MissingKeyError extends Error {
  override readonly name = 'MissingKeyError';

  constructor(
    readonly keyId: string,
    folder: string | null,
    known: string[],
  ) {
    const have = known.length > 0 ? `has only ${known.join(', ')}` : 'is empty';
    super(
      `a payload is encrypted with the key ${keyId}, which is missing here: ` +
        (folder === null
          ? 'temporal.encryption.keysFolder is not set'
          : `temporal.encryption.keysFolder ${folder} ${have}`),
    );
  }
}

/** The keys that payloads are sealed with. A key that is put into the folder is found without a restart. */
export class KeyRing {
  private keys = new Map<string, Buffer>();
  private lookedAt = -Infinity;

  /** `activeId`: with which new payloads are sealed; `null` for none, which leaves them plain. */
  constructor(
    readonly folder: string | null,
    private readonly activeId: string | null,
  ) {
    this.look();
  }

  /** @throws MissingKeyError when its file is not there. */
  active(): { id: string; key: Buffer } | null {
    return this.activeId === null ? null : { id: this.activeId, key: this.key(this.activeId) };
  }

  /** @throws MissingKeyError */
  key(id: string): Buffer {
    if (!this.keys.has(id) && performance.now() - this.lookedAt >= lookAgainMs) this.look();
    const key = this.keys.get(id);
    if (!key) throw new MissingKeyError(id, this.folder, [...this.keys.keys()]);
    return key;
  }

  private look(): void {
    this.lookedAt = performance.now();
    if (this.folder === null) return;
    try {
      this.keys = readKeys(this.folder);
    } catch {
      // Half written, or away for a moment: the keys that were there go on. At the start the configuration's check tells.
    }
  }
}
