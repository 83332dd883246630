import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { keyIdPattern } from '../config/key-folder';
import type { KeyRing, MissingKeyError } from './key-ring';

const { Payload: PayloadMessage } = temporal.api.common.v1;

/** A name of its own, so that no other project's codec takes these payloads for its own, nor Baton theirs. */
export const sealedEncoding = 'binary/baton-aes-256-gcm';
const keyIdField = 'baton-key-id';

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/**
 * Encrypts payloads with AES-256-GCM, so that Temporal, its database and its backups hold nothing readable. Each carries
 * the id of its key; with a new active key the older ones still open what they have sealed. Plain payloads are passed on,
 * so that keys can be introduced while workflows run.
 *
 * A payload whose key is missing throws, as no decision may depend on which pod has which key. One that its key does not open
 * (forged, damaged) is passed on as it is: it is unreadable for everybody, and the converter behind says so.
 */
export class SealingCodec implements PayloadCodec {
  private readonly told = new Set<string>();

  /** `onMissingKey` is told of each key that is missing, once. */
  constructor(
    private readonly keys: KeyRing,
    private readonly onMissingKey: (error: MissingKeyError) => void = () => undefined,
  ) {}

  encode(payloads: Payload[]): Promise<Payload[]> {
    return settled(() => payloads.map((payload) => this.seal(payload)));
  }

  decode(payloads: Payload[]): Promise<Payload[]> {
    return settled(() => payloads.map((payload) => this.open(payload)));
  }

  private seal(payload: Payload): Payload {
    // A result that is handed on as it came is not sealed twice.
    if (keyIdOf(payload) !== null) return payload;
    const active = this.orTell(() => this.keys.active());
    if (!active) return payload;
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm, active.key, nonce).setAAD(associated(active.id));
    const plain = PayloadMessage.encode(payload).finish();
    const data = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    const metadata = { encoding: Buffer.from(sealedEncoding), [keyIdField]: Buffer.from(active.id) };
    return { metadata, data };
  }

  private open(payload: Payload): Payload {
    const id = keyIdOf(payload);
    if (id === null) return payload;
    const key = this.orTell(() => this.keys.key(id));
    try {
      const data = Buffer.from(payload.data ?? []);
      const decipher = createDecipheriv(algorithm, key, data.subarray(0, nonceBytes), {
        authTagLength: tagBytes,
      });
      decipher.setAAD(associated(id)).setAuthTag(data.subarray(-tagBytes));
      const sealed = data.subarray(nonceBytes, -tagBytes);
      return PayloadMessage.decode(Buffer.concat([decipher.update(sealed), decipher.final()]));
    } catch {
      // Not sealed with this key, whatever its label says.
      return payload;
    }
  }

  private orTell<T>(find: () => T): T {
    try {
      return find();
    } catch (error) {
      const missing = error as MissingKeyError;
      if (!this.told.has(missing.keyId) && this.told.size < 100) {
        this.told.add(missing.keyId);
        this.onMissingKey(missing);
      }
      throw error;
    }
  }
}

/** A label that no key can have is as good as none. */
function keyIdOf({ metadata }: Payload): string | null {
  const encoding = metadata?.['encoding'];
  const id = metadata?.[keyIdField];
  if (!encoding || !id || Buffer.from(encoding).toString() !== sealedEncoding) return null;
  const text = Buffer.from(id).toString();
  return keyIdPattern.test(text) ? text : null;
}

const associated = (keyId: string): Buffer => Buffer.from(`${sealedEncoding} ${keyId}`);

/** Its interface wants promises. */
function settled<T>(work: () => T): Promise<T> {
  return new Promise((resolve) => resolve(work()));
}
