import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { programCache } from '../../src/dev/find-program';
import type { Certificate } from './certificates';

const sources = resolve(__dirname, 'gateway');

/** Compiled once per machine and version of its source, in some seconds. */
function program(): string {
  const hash = createHash('sha256').update(readFileSync(join(sources, 'main.go')));
  const file = join(programCache(), `tls-gateway-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(file)) return file;
  mkdirSync(programCache(), { recursive: true });
  const building = mkdtempSync(join(programCache(), 'building-'));
  try {
    const output = join(building, 'gateway');
    execFileSync('go', ['build', '-trimpath', '-o', output, '.'], { cwd: sources, stdio: 'pipe' });
    renameSync(output, file);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  return file;
}

export interface TlsGatewayOptions {
  /** `host:port` of a gRPC server without TLS. */
  target: string;
  server: Certificate;
  /** Of the authorities whose certificates clients must show. Read for each connection. */
  clientCaFile?: string;
  /** One key a line; each request must have one of them. Read for each request. */
  apiKeysFile?: string;
}

/** A gateway in front of a gRPC server that demands client certificates and API keys (gateway/main.go). */
export class TlsGateway {
  /** The common names of the certificates that were shown, of each connection. */
  readonly shown: string[] = [];

  private constructor(
    private readonly child: ChildProcess,
    /** `127.0.0.1:port`. */
    readonly address: string,
  ) {}

  static async start(
    { target, server, clientCaFile, apiKeysFile }: TlsGatewayOptions,
    adopt: (pid: number) => void,
  ): Promise<TlsGateway> {
    const args = ['-target', target, '-cert', server.certFile, '-key', server.keyFile];
    if (clientCaFile !== undefined) args.push('-client-ca', clientCaFile);
    if (apiKeysFile !== undefined) args.push('-api-keys', apiKeysFile);
    const child = spawn(program(), args, { stdio: ['ignore', 'pipe', 'ignore'] });
    if (child.pid !== undefined) adopt(child.pid);
    const lines = createInterface({ input: child.stdout });
    const [first] = (await once(lines, 'line')) as [string];
    const gateway = new TlsGateway(child, first.replace('listening ', ''));
    lines.on('line', (line) => gateway.shown.push(line.replace('shown ', '')));
    return gateway;
  }

  /** Ends every connection; clients have to make new ones. */
  cut(): void {
    this.child.kill('SIGUSR1');
  }

  close(): void {
    this.child.kill('SIGKILL');
  }
}
