import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { type Config } from '../../src/config/config';
import { ConfigError, type ConfigProblem } from '../../src/config/config-error';
import { type ConfigSource, loadConfig } from '../../src/config/load-config';

/** A folder with a baton.yaml and a handler, for one test file. */
export class ConfigFolder {
  readonly path = mkdtempSync(path.join(tmpdir(), 'baton-config-'));

  constructor() {
    writeFileSync(path.join(this.path, 'handler.js'), 'exports.handle = async () => {};\n');
  }

  write(content: unknown): void {
    writeFileSync(
      path.join(this.path, 'baton.yaml'),
      typeof content === 'string' ? content : stringify(content),
    );
  }

  load(content: unknown, source: Partial<ConfigSource> = {}): Config {
    this.write(content);
    return loadConfig({ env: {}, cwd: this.path, ...source });
  }

  problems(content: unknown, source: Partial<ConfigSource> = {}): ConfigProblem[] {
    return this.error(content, source).problems;
  }

  error(content: unknown, source: Partial<ConfigSource> = {}): ConfigError {
    try {
      this.load(content, source);
    } catch (error) {
      if (error instanceof ConfigError) return error;
      throw error;
    }
    throw new Error('the configuration was accepted');
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The least that loads, with one lock's settings given. */
export function minimal(lock: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    regions: {
      'us-east': { amqpUrl: 'amqp://localhost:5672' },
      'us-west': { amqpUrl: 'amqp://localhost:5673' },
    },
    etcd: { endpoints: ['http://localhost:2379'] },
    locks: { orders: { queue: { name: 'orders' }, handler: './handler.js', ...lock } },
  };
}
