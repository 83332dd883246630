import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environmentWithout } from './etcd-server';
import { findProgram } from './find-program';
import { freePorts } from './free-port';
import type { Reaper } from './reaper';
import { Server, startOnFreePorts, type Command, type ServerOptions } from './server';

export interface PostgresOptions {
  reaper: ServerOptions['reaper'] & Pick<Reaper, 'watchFolder'>;
  /** The log goes here. The data have a temporary folder of their own, removed by the reaper. */
  folder: string;
}

/** Debian keeps PostgreSQL's programs away from PATH, a folder for each version. */
const debianFolder = '/usr/lib/postgresql';
const readyByte = 'R';

interface Account {
  uid: number;
  gid: number;
}

/** One PostgreSQL server with an empty database, on 127.0.0.1 alone and without passwords; it does not wait for the disk. */
export class PostgresServer extends Server {
  protected override readonly stopSignal = 'SIGINT'; // SIGTERM waits until the last client has gone.

  constructor(
    private readonly port: number,
    private readonly dataDir: string,
    private readonly account: Account | undefined,
    options: ServerOptions,
  ) {
    super('postgres', options);
  }

  /** `host:port`. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** For clients: `postgres://…`, a superuser's. */
  get url(): string {
    return this.urlAt(this.address);
  }

  /** For clients that reach it through another `host:port`. */
  urlAt(address: string): string {
    return `postgres://baton@${address}/postgres`;
  }

  protected command(): Command {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: String(this.port),
      unix_socket_directories: '',
      fsync: 'off',
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    return {
      program: postgresProgram('postgres'),
      args: ['-D', this.dataDir, ...args],
      environment: environmentWithout('PG'),
      ...(this.account && { account: this.account }),
    };
  }

  /** A login with the wire protocol's two first messages: no client library is needed for that. */
  protected probe(): Promise<void> {
    const parameters = Buffer.from('user\0baton\0database\0postgres\0\0');
    const startup = Buffer.alloc(8);
    startup.writeInt32BE(startup.length + parameters.length, 0);
    startup.writeInt32BE(196_608, 4); // Protocol 3.0.
    return new Promise((resolve, reject) => {
      const socket = connectSocket({ port: this.port, host: '127.0.0.1', timeout: 2_000 });
      socket.once('connect', () => socket.write(Buffer.concat([startup, parameters])));
      socket.once('data', (answer) => {
        socket.destroy();
        if (answer.toString('latin1', 0, 1) === readyByte) resolve();
        else reject(new Error(`PostgreSQL refused: ${answer.toString('latin1', 5)}`));
      });
      socket.once('timeout', () => socket.destroy(new Error('no answer within 2 s')));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('the connection was closed')));
    });
  }
}

/** Starts PostgreSQL with an empty database on a free port of 127.0.0.1 and waits until it takes logins. */
export async function startPostgresServer({ reaper, folder }: PostgresOptions): Promise<PostgresServer> {
  const account = unprivileged();
  // The account must be able to enter every folder above, which a test's own temporary folder does not allow.
  const dataDir = mkdtempSync(join(account ? '/tmp' : tmpdir(), 'baton-postgres-'));
  reaper.watchFolder(dataDir);
  if (account) chownSync(dataDir, account.uid, account.gid);
  chmodSync(dataDir, 0o700);
  const args = ['-D', dataDir, '-U', 'baton', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
  execFileSync(postgresProgram('initdb'), args, {
    ...account,
    cwd: '/',
    env: environmentWithout('PG'),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return startOnFreePorts(async () => {
    const [port] = (await freePorts(1)) as [number];
    return new PostgresServer(port, dataDir, account, { reaper, logFile: join(folder, 'postgres.log') });
  });
}

/** The newest version's. @throws Error saying what to run when it is nowhere. */
function postgresProgram(name: string): string {
  const versions = existsSync(debianFolder) ? readdirSync(debianFolder) : [];
  const newestFirst = versions.toSorted((a, b) => Number(b) - Number(a));
  return findProgram(
    name,
    newestFirst.map((version) => join(debianFolder, version, 'bin')),
  );
}

/** PostgreSQL refuses to run as root. `undefined`: this process is not root. */
function unprivileged(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (option: string, user: string): number | undefined => {
    const { status, stdout } = spawnSync('id', [option, user], { encoding: 'utf8' });
    return status === 0 ? Number(stdout) : undefined;
  };
  for (const user of ['postgres', 'nobody']) {
    const [uid, gid] = [id('-u', user), id('-g', user)];
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  return { uid: 65_534, gid: 65_534 };
}
