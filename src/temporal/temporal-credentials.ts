import type { TemporalAddress } from '../config/config';
import { CredentialFiles } from '../config/credential-files';
import { currentSecret } from '../config/secret-file';
import { hasTlsFiles } from '../config/tls-files';

/** Notices that the certificate files or the API key's file for Temporal were replaced. */
export class TemporalCredentials {
  readonly files: CredentialFiles | null;
  private apiKey: string | undefined;

  constructor(private readonly temporal: TemporalAddress) {
    this.files = hasTlsFiles(temporal) ? new CredentialFiles(temporal) : null;
    this.apiKey = this.readApiKey();
  }

  /** Once for each new key; `null`: it is still the same. */
  newApiKey(): string | null {
    const found = this.readApiKey();
    if (found === undefined || found === this.apiKey) return null;
    this.apiKey = found;
    return found;
  }

  private readApiKey(): string | undefined {
    const { apiKey, apiKeyFile } = this.temporal;
    if (apiKey === undefined || apiKeyFile === undefined) return undefined;
    return currentSecret(apiKeyFile, this.apiKey ?? apiKey);
  }
}
