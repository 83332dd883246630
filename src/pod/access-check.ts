import { connect } from 'amqplib';
import { setTimeout as sleep } from 'node:timers/promises';
import { AccessError } from '../../activities/errors';
import { WorkflowsAwayError } from '../client/region-workflows';
import type { Config, RegionSettings } from '../config/config';
import { tlsSentence } from '../config/tls-check';
import { readTlsFiles } from '../config/tls-files';
import { probeAccess } from '../etcd/access-probe';
import type { EtcdClient } from '../etcd/etcd-client';
import { connectClient, whyNoTls } from '../temporal/connection';

/**
 * For each server, all at the same time: one that is away holds up a start no longer than this. With a login it is longer,
 * because etcd takes its time over a password, and over a wrong one as well.
 */
export const startLimitMs = ({ etcd }: Config): number => (etcd.username === undefined ? 2_500 : 6_000);
const denied = /ACCESS[-_]REFUSED|NOT[-_]ALLOWED/;

/**
 * Which of a pod's three servers do not let it in: a sentence for each, naming the server. For a wrong password, key or
 * permission and for certificates that one side does not accept; a server that is away is no reason not to start.
 */
export async function whyNoAccess(
  config: Config,
  region: RegionSettings,
  etcd: EtcdClient,
): Promise<string[]> {
  const limitMs = startLimitMs(config);
  const checks = [whyNoEtcd(config, etcd), whyNoBroker(region, limitMs), whyNoTemporal(config, region)];
  const answers = await Promise.all(
    checks.map((check) => Promise.race([check, sleep(limitMs, null, { ref: false })])),
  );
  return answers.filter((why) => why !== null);
}

async function whyNoEtcd({ locks }: Config, etcd: EtcdClient): Promise<string | null> {
  try {
    await Promise.all(locks.map(({ name }) => probeAccess(etcd, name)));
    return null;
  } catch (error) {
    return error instanceof AccessError ? error.message : null;
  }
}

async function whyNoBroker(region: RegionSettings, limitMs: number): Promise<string | null> {
  const { host, pathname, protocol } = new URL(region.amqpUrl);
  const where = `RabbitMQ of ${region.name} at ${protocol}//${host}${pathname}`;
  try {
    const connection = await connect(region.amqpUrl, { ...readTlsFiles(region), timeout: limitMs });
    connection.on('error', () => {});
    await connection.close();
    return null;
  } catch (error) {
    const untrusted = protocol === 'amqps:' ? tlsSentence(error) : null;
    const { message } = error as Error;
    if (untrusted === null && !denied.test(message)) return null;
    return `${where} refuses the connection: ${untrusted ?? message.trim()}`;
  }
}

async function whyNoTemporal(config: Config, region: RegionSettings): Promise<string | null> {
  const untrusted = await whyNoTls(config);
  if (untrusted !== null) return untrusted;
  try {
    const client = await connectClient(config);
    try {
      await Promise.all(config.locks.map(({ name }) => client.checkReadable(name, region.name)));
    } finally {
      await client.close();
    }
    return null;
  } catch (error) {
    return error instanceof WorkflowsAwayError && error.denied ? error.message : null;
  }
}
