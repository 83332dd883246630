import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Receipt } from '../../workflows/contract';
import type { LockStatus } from '../../src/client/lock-status';
import { freePorts } from '../../src/dev/free-port';
import { command, docker, must, root, type CommandResult } from './command';
import { eventually } from '../support/eventually';

export const pods = ['us-east-a', 'us-east-b', 'us-west-a', 'us-west-b'];
export const image = 'baton';

/** What the ledger's judge says with --json. */
export interface LedgerVerdict {
  holds: boolean;
  published: number;
  processed: number;
  lost: number;
  duplicates: number;
  overlaps: number;
  tokensMonotonic: boolean;
  tenures: { region: string; pod: string; token: number; gapMs: number | null }[];
}

/** docker-compose.yml, as it is, on ports of its own. */
export class ComposeProject {
  readonly folder = mkdtempSync(join(tmpdir(), 'baton-compose-'));
  readonly envFile = join(this.folder, '.env');
  readonly ports = new Map<string, number>();

  /** Writes .env as a user does, and changes its ports. */
  async prepare(): Promise<void> {
    await must('sh', ['deploy/docker/make-secrets.sh', this.envFile]);
    let text = readFileSync(this.envFile, 'utf8');
    const names = [...text.matchAll(/^([A-Z_]+_PORT)=/gm)].map(([, name]) => name!);
    const free = await freePorts(names.length);
    for (const [i, name] of names.entries()) {
      const port = free[i]!;
      this.ports.set(name, port);
      text = text.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${port}`);
    }
    writeFileSync(this.envFile, text);
  }

  secret(name: string): string {
    return new RegExp(`^${name}=(.+)$`, 'm').exec(readFileSync(this.envFile, 'utf8'))![1]!;
  }

  try(...args: string[]): Promise<CommandResult> {
    return command('docker', this.arguments(args));
  }

  compose(...args: string[]): Promise<string> {
    return must('docker', this.arguments(args));
  }

  private arguments(args: string[]): string[] {
    return ['compose', '--project-directory', root, '--env-file', this.envFile, ...args];
  }

  /** Runs a program in a pod that runs. */
  async inPod(...args: string[]): Promise<string> {
    const running = (await this.compose('ps', '--services', '--status', 'running')).split('\n');
    const pod = pods.find((each) => running.includes(each));
    if (!pod) throw new Error('no pod runs');
    return this.compose('exec', '-T', pod, ...args);
  }

  baton(...args: string[]): Promise<string> {
    return this.inPod('baton', ...args);
  }

  async status(): Promise<LockStatus> {
    return (JSON.parse(await this.baton('status', '--json')) as { locks: LockStatus[] }).locks[0]!;
  }

  async receipts(): Promise<Receipt[]> {
    return (JSON.parse(await this.baton('history', '--json')) as { receipts: Receipt[] }).receipts;
  }

  /** The service of the pod that holds the lock. */
  async holder(limitMs = 60_000): Promise<string> {
    return eventually(async () => {
      const { holder } = await this.status();
      const service = pods.find((each) => holder?.pod.startsWith(`${each}-`));
      if (!service) throw new Error('nobody holds the lock');
      return service;
    }, limitMs);
  }

  /** Waits until another service than `before` holds the lock. */
  async nextHolder(before: string, limitMs: number): Promise<string> {
    return eventually(async () => {
      const now = await this.holder();
      if (now === before) throw new Error(`${before} still holds the lock`);
      return now;
    }, limitMs);
  }

  async allReady(): Promise<void> {
    await eventually(async () => {
      const { regions } = await this.status();
      const ready = regions.map(({ candidates }) => candidates?.ready);
      if (ready.some((each) => each !== 2)) throw new Error(`ready pods: ${ready.join(', ')}`);
    }, 120_000);
  }

  /** Messages that the demo's handler has finished. */
  async processed(): Promise<number> {
    return Number(await this.inPod('sh', '-c', `cat /var/lib/baton/*.ndjson | grep -c '"e":"end"' || true`));
  }

  /** Waits until more messages have been processed than now. Returns how many more. */
  async flows(limitMs = 60_000): Promise<number> {
    const before = await this.processed();
    return eventually(async () => {
      const more = (await this.processed()) - before;
      if (more <= 0) throw new Error('no message is processed');
      return more;
    }, limitMs);
  }

  async ledger(): Promise<LedgerVerdict> {
    const { stdout, stderr } = await this.try('run', '--rm', '-T', 'ledger', '--json');
    const line = stdout.trim().split('\n').at(-1) ?? '';
    if (!line.startsWith('{')) throw new Error(`no verdict: ${stdout}\n${stderr}`);
    return JSON.parse(line) as LedgerVerdict;
  }

  async containerOf(service: string): Promise<string> {
    return (await this.compose('ps', '--all', '--quiet', service)).trim();
  }

  async exitCodeOf(service: string): Promise<number> {
    const id = await this.containerOf(service);
    return Number(await docker('inspect', '--format', '{{.State.ExitCode}}', id));
  }

  /** What the services say, for a message about a failure. */
  logs(): Promise<string> {
    return this.compose('logs', '--no-color', '--tail', '25');
  }

  async remove(): Promise<void> {
    await this.try('--profile', '*', 'down', '--volumes', '--remove-orphans', '--timeout', '5');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
