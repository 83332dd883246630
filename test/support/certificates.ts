import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of PEM files. */
export interface Certificate {
  certFile: string;
  keyFile: string;
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

const openssl = (...args: string[]): void => {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/** A certificate authority of its own, in a folder; with openssl. */
export class Authority {
  readonly caFile: string;

  constructor(private readonly folder: string) {
    mkdirSync(folder, { recursive: true });
    this.caFile = join(folder, 'ca.pem');
    const subject = ['-subj', `/CN=test authority ${randomUUID()}`, '-days', '2'];
    openssl('req', '-x509', ...newKey, '-keyout', this.at('ca.key'), '-out', this.caFile, ...subject);
  }

  /** For 127.0.0.1, as a server's and as a client's. `days`: negative for one that has expired. */
  issue(name: string, { days = 2, altName = 'IP:127.0.0.1,DNS:localhost' } = {}): Certificate {
    const [certFile, keyFile, request] = [
      this.at(`${name}.pem`),
      this.at(`${name}.key`),
      this.at(`${name}.csr`),
    ];
    openssl('req', ...newKey, '-keyout', keyFile, '-out', request, '-subj', `/CN=${name}`);
    writeFileSync(this.at('extensions'), `subjectAltName=${altName}\n`);
    const signedBy = ['-CA', this.caFile, '-CAkey', this.at('ca.key'), '-CAcreateserial'];
    const extensions = ['-days', String(days), '-extfile', this.at('extensions')];
    openssl('x509', '-req', '-in', request, ...signedBy, ...extensions, '-out', certFile);
    return { certFile, keyFile };
  }

  private at(name: string): string {
    return join(this.folder, name);
  }
}
