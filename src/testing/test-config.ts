import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import type { LockSettings } from '../config/config';
import { ConfigError } from '../config/config-error';
import { isMap } from '../config/environment';
import { loadConfig } from '../config/load-config';

/** The handler under test, and the folder of the ledger, for the pods' `ledger-handler.js`. */
export const handlerVariable = 'BATON_TESTING_HANDLER';
export const ledgerVariable = 'BATON_TESTING_LEDGER';

/** Taken over from the project's lock: what its handler and its messages meet. Times are the test's own. */
const keptOfLock = ['drainLimitMs', 'stallLimitMs', 'healthLimitMs', 'handler', 'process'];
const keptOfQueue = ['name', 'deliveryLimit', 'prefetch', 'concurrency', 'maxDeliveries', 'heartbeatSeconds'];

export interface Addresses {
  etcd: string[];
  rabbitmq: string;
  temporal: string;
}

type Settings = Record<string, unknown>;

/**
 * The project's baton.yaml, made fit for a test: its regions, one lock, that lock's handler and limits; servers and
 * times of the test's. Hooks, approvals, failback and the audit record are left out: they ask or tell others.
 */
export class TestConfig {
  readonly lock: string;
  readonly regions: string[];
  readonly handler: string;
  readonly queue: string;
  private readonly lockContent: Settings;
  /** Checked and completed. */
  readonly settings: LockSettings;

  /** @throws ConfigError when the project's configuration cannot be used. */
  constructor(
    private readonly file: string,
    options: { lock: string | undefined; leaseTtlMs: number; suffix: string },
  ) {
    const content = this.read();
    const locks = asMap(content['locks']);
    const own = options.lock ?? (Object.keys(locks).length === 1 ? Object.keys(locks)[0]! : undefined);
    if (own === undefined || !Object.hasOwn(locks, own))
      throw new ConfigError([
        {
          setting: 'lock',
          value: own,
          expected: `must be one of the configuration's locks: ${Object.keys(locks).join(', ') || 'it has none'}`,
        },
      ]);
    this.lock = `${own}${options.suffix}`;
    this.regions = Object.keys(asMap(content['regions']));
    const common = asMap(content['defaults']);
    const given = { ...common, ...asMap(locks[own]) };
    const queue = { ...asMap(common['queue']), ...asMap(asMap(locks[own])['queue']) };
    this.lockContent = {
      ...pick(given, keptOfLock),
      leaseTtlMs: options.leaseTtlMs,
      queue: { ...pick(queue, keptOfQueue) },
    };
    this.settings = this.check(own);
    this.handler = this.settings.handler;
    this.queue = `${this.settings.queue.name}${options.suffix}`;
  }

  /** Writes what the pods read into a folder, and returns its path. */
  write(folder: string, { etcd, rabbitmq, temporal }: Addresses): string {
    const queue = { ...asMap(this.lockContent['queue']), name: this.queue };
    const path = join(folder, 'baton.yaml');
    const content = {
      regions: Object.fromEntries(this.regions.map((region) => [region, { amqpUrl: rabbitmq }])),
      etcd: { endpoints: etcd.map((address) => `http://${address}`) },
      temporal: { address: temporal, namespace: 'default' },
      health: { host: '127.0.0.1', port: 0 },
      locks: { [this.lock]: { ...this.lockContent, queue, handler: join(__dirname, 'ledger-handler.js') } },
    };
    writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`);
    return path;
  }

  private read(): Settings {
    try {
      const content: unknown = parse(readFileSync(this.file, 'utf8'));
      return asMap(content);
    } catch (error) {
      const expected = `must be a readable YAML file: ${(error as Error).message}`;
      throw new ConfigError([{ setting: 'config', value: this.file, expected }]);
    }
  }

  /** What is kept, with addresses that nobody connects to, through the checks that every pod makes. */
  private check(lock: string): LockSettings {
    const { handler } = this.lockContent;
    const absolute = typeof handler === 'string' ? resolve(dirname(this.file), handler) : handler;
    const content = {
      regions: Object.fromEntries(this.regions.map((region) => [region, { amqpUrl: 'amqp://127.0.0.1' }])),
      etcd: { endpoints: ['http://127.0.0.1:1'] },
      locks: { [lock]: { ...this.lockContent, handler: absolute } },
    };
    const folder = mkdtempSync(join(tmpdir(), 'baton-'));
    try {
      const file = join(folder, 'baton.yaml');
      writeFileSync(file, JSON.stringify(content));
      return loadConfig({ file, env: {}, cwd: folder }).locks[0]!;
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}

const asMap = (value: unknown): Settings => (isMap(value) ? value : {});

const pick = (from: Settings, names: string[]): Settings =>
  Object.fromEntries(names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]));
