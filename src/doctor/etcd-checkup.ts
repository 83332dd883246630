import { Etcd3, type IMember } from 'etcd3';
import type { Config, EtcdAddress } from '../config/config';
import { connectionOptions, EtcdClient } from '../etcd/etcd-client';
import { put, unchanged } from '../etcd/holder-transaction';
import { LockKeys } from '../etcd/lock-keys';
import { type Finding, findingsOf } from './finding';
import { measureRoundTrip, type RoundTrip, roundTripText } from './round-trip';

/** Longer than any lock's own limit should be: what is slow is to be measured, not cut off. */
const limitMs = 5_000;
/** Never a revision: the transaction changes nothing, and etcd checks the permissions of both branches. */
const neverRevision = Number.MAX_SAFE_INTEGER;

/** The shortest and so on of all endpoints together, as a pod may use any of them. @throws the last endpoint's error. */
async function measureEtcd(address: EtcdAddress): Promise<RoundTrip> {
  const client = new EtcdClient(address, { requestTimeoutMs: limitMs });
  try {
    return await measureRoundTrip(() => linearizableRead(client));
  } finally {
    client.close();
  }
}

/** The smallest there is: what a guard's read costs. */
export const linearizableRead = (client: EtcdClient): Promise<unknown> =>
  client.range('measure', { key: Buffer.from('/baton/'), keys_only: true });

export async function checkEtcd({
  etcd,
  locks,
}: Config): Promise<{ findings: Finding[]; etcd: RoundTrip | null }> {
  const members = await Promise.all(etcd.endpoints.map((endpoint) => checkEndpoint(etcd, endpoint)));
  const findings = members.flatMap(({ findings: own }) => own);
  const trips = members.flatMap(({ trip }) => trip ?? []);
  if (trips.length === 0) return { findings, etcd: null };
  const [client, admin] = [new EtcdClient(etcd, { requestTimeoutMs: limitMs }), adminClient(etcd)];
  try {
    for (const { name } of locks) findings.push(await checkPermission(client, name));
    findings.push(...(await checkQuorum(admin, etcd)));
  } finally {
    client.close();
    admin.close();
  }
  const best = trips.reduce((a, b) => (a.median <= b.median ? a : b));
  return { findings, etcd: best };
}

/** For etcd's maintenance and cluster services, which Baton itself does not use. */
function adminClient(address: EtcdAddress): Etcd3 {
  const { endpoints, username, password } = address;
  const callOptions = () => ({ deadline: Date.now() + limitMs });
  const login = username !== undefined && password !== undefined;
  return new Etcd3({
    ...connectionOptions(address, limitMs),
    hosts: endpoints,
    ...(login && { auth: { username, password, callOptions } }),
  });
}

async function checkEndpoint(
  address: EtcdAddress,
  endpoint: string,
): Promise<{ findings: Finding[]; trip: RoundTrip | null }> {
  const trips = findingsOf('round trips', `etcd ${endpoint}`);
  const own = { ...address, endpoints: [endpoint] };
  let trip: RoundTrip;
  try {
    trip = await measureEtcd(own);
  } catch (error) {
    const why = `no linearizable read within ${limitMs / 1000} s: ${(error as Error).message}`;
    return {
      findings: [trips.error(why, 'start this member, or take it out of etcd.endpoints')],
      trip: null,
    };
  }
  const findings = [trips.ok(`a linearizable read takes ${roundTripText(trip)}`)];
  const admin = adminClient(own);
  const versions = findingsOf('versions', `etcd ${endpoint}`);
  try {
    const { version } = await admin.maintenance.status();
    const [major = 0, minor = 0] = version.split('.').map(Number);
    const isOld = major < 3 || (major === 3 && minor < 4);
    findings.push(
      isOld ? versions.error(`etcd ${version}`, 'etcd 3.4 or later') : versions.ok(`etcd ${version}`),
    );
  } catch (error) {
    findings.push(
      versions.warning(`not told: ${(error as Error).message}`, 'nothing, where etcd wants it so'),
    );
  } finally {
    admin.close();
  }
  return { findings, trip };
}

/** Changes nothing, and yet needs what a pod needs: a quorum, space, and write permission on both prefixes. */
async function checkPermission(client: EtcdClient, lock: string): Promise<Finding> {
  const keys = new LockKeys(lock);
  const { ok, error: failed } = findingsOf('permissions', `etcd ${keys.prefix}`);
  const probes = [`${keys.prefix}doctor`, `${keys.attempts}doctor`];
  try {
    await client.txn(
      `write below ${keys.prefix} and ${keys.attempts}`,
      {
        compare: [unchanged(keys.holder, { modRevision: neverRevision })],
        success: probes.map((key) => put(key, Buffer.from(''))),
        failure: [],
      },
      true,
    );
    return ok(`may be written, as may ${keys.attempts}`);
  } catch (error) {
    return failed(
      (error as Error).message,
      `a role with readwrite on ${keys.prefix} and ${keys.attempts}; or space, where etcd has none left`,
    );
  }
}

async function checkQuorum(admin: Etcd3, { endpoints, failureDomains }: EtcdAddress): Promise<Finding[]> {
  const { ok, warning, error } = findingsOf('quorum', 'etcd');
  try {
    const [{ members }, { alarms }] = await Promise.all([
      admin.cluster.memberList({}),
      admin.maintenance.alarm({ action: 'Get' }),
    ]);
    const findings = alarms.map(({ alarm, memberID }) =>
      error(`member ${memberID} has raised the alarm ${alarm}`, 'see to it: no lock can be written'),
    );
    const spare = members.length - majority(members.length);
    const size =
      members.length === 1
        ? 'one member: when it fails, every lock stops'
        : `${members.length} members, of which ${spare} may fail`;
    if (members.length < 3) findings.push(warning(size, 'three members or five'));
    else if (members.length % 2 === 0)
      findings.push(warning(`${size}: no more than with ${members.length - 1}`, 'an odd number of members'));
    else findings.push(ok(size));
    if (members.length > 1 && endpoints.length < members.length)
      findings.push(
        warning(
          `${endpoints.length} of ${members.length} members stand in etcd.endpoints`,
          'name all of them',
        ),
      );
    if (members.length > 1) findings.push(domainFinding(members, failureDomains));
    return findings;
  } catch (failure) {
    return [warning(`not told: ${(failure as Error).message}`, 'nothing, where etcd wants it so')];
  }
}

const majority = (count: number): number => Math.floor(count / 2) + 1;

/** Whether any one domain can be lost. Without a configuration, a machine is one, as far as an address tells. */
export function domainFinding(
  members: Pick<IMember, 'name' | 'peerURLs'>[],
  failureDomains: Record<string, string> | undefined,
): Finding {
  const { ok, warning, error } = findingsOf('quorum', 'failure domains');
  const known = failureDomains !== undefined;
  const missing = members.filter(({ name }) => known && failureDomains[name] === undefined);
  if (missing.length > 0)
    return warning(
      `etcd.failureDomains says nothing of ${missing.map(({ name }) => name).join(', ')}`,
      'name the site of every member',
    );
  const byDomain = new Map<string, string[]>();
  for (const { name, peerURLs } of members) {
    const domain = failureDomains?.[name] ?? hostOf(peerURLs[0]);
    byDomain.set(domain, [...(byDomain.get(domain) ?? []), name]);
  }
  const left = (lost: string[]): number => members.length - lost.length;
  const fatal = [...byDomain].find(([, own]) => left(own) < majority(members.length));
  const what = known ? 'site' : 'machine, by the peers\u2019 addresses';
  if (!fatal)
    return known
      ? ok(`any one of ${byDomain.size} sites may be lost`)
      : ok(`any one of ${byDomain.size} machines may be lost; etcd.failureDomains would tell of sites`);
  const [domain, own] = fatal;
  const why = `without ${domain} (${what}) ${left(own)} of ${members.length} members are left, and ${majority(members.length)} are needed`;
  const change = 'members in three places, none of them with half of all';
  return known ? error(why, change) : warning(why, change);
}

const hostOf = (url = ''): string => (URL.canParse(url) ? new URL(url).hostname : url);
