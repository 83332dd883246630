import { randomUUID } from 'node:crypto';

export interface SharedServers {
  /** `host:port` of each member. */
  etcd: string[];
  /** `amqp://…`. */
  rabbitmq: string;
  /** `host:port`; the namespace is `default`. */
  temporal: string;
}

/**
 * The servers that all tests of a run share: each test brings its own key prefix, queue and workflow id
 * ({@link uniqueName}). There are several Temporal servers, dealt out to jest's processes. A test that stops or freezes a
 * server starts its own (src/dev/dev-stack.ts).
 */
export function sharedServers(): SharedServers {
  return {
    etcd: published('BATON_TEST_ETCD').split(','),
    rabbitmq: published('BATON_TEST_RABBITMQ'),
    temporal: temporalOf(published('BATON_TEST_TEMPORAL').split(',')),
  };
}

/** Jest counts its processes from 1; without any there is this one. */
const temporalOf = (servers: string[]): string =>
  servers[(Number(process.env['JEST_WORKER_ID'] ?? 1) - 1) % servers.length]!;

/** A name that no other test and no other run uses. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomUUID().slice(0, 8)}`;
}

function published(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: expected test/support/global-setup.ts to have run`);
  return value;
}
