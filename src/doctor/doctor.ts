import type { Servers } from '../client/servers';
import type { Config } from '../config/config';
import { checkEtcd } from './etcd-checkup';
import { areas, type Finding } from './finding';
import { checkPods } from './pod-checkup';
import { checkRabbitmq } from './rabbitmq-checkup';
import { checkTemporal } from './temporal-checkup';
import { timingFindings } from './timing-budget';

/** Everything that `baton doctor` looks at. Changes nothing; a server that is away is a finding. */
export async function examine(config: Config, servers: Servers, graceMs: number | null): Promise<Finding[]> {
  // One after the other: what else this process does would show in the round trips.
  const etcd = await checkEtcd(config);
  const rabbitmq = await checkRabbitmq(config);
  const temporal = await checkTemporal(config);
  const pods = await checkPods(config, async (lock) => (await servers.store(lock)).read());
  const measured = { etcd: etcd.etcd, broker: rabbitmq.broker, temporal: temporal.temporal };
  const findings = [
    ...pods,
    ...etcd.findings,
    ...rabbitmq.findings,
    ...temporal.findings,
    ...config.locks.flatMap((settings) => timingFindings(settings, measured, graceMs)),
  ];
  return findings.toSorted((a, b) => areas.indexOf(a.area) - areas.indexOf(b.area));
}
