import type { Config } from '../config/config';
import type { CandidateKey, LockView } from '../pod/lock-store';
import { managementFailure } from '../rabbitmq/management-api';
import { version } from '../version';
import { type Finding, findingsOf } from './finding';

const limitMs = 3_000;
const usableNodes = [20, 22];
/** Beyond it, gaps between two regions say more about their clocks. Nothing that is safe depends on it. */
const clockDifferenceMs = 500;

/** Versions and clocks of the pods that etcd shows, and of this machine. */
export async function checkPods(
  { locks }: Config,
  read: (lock: string) => Promise<LockView>,
): Promise<Finding[]> {
  const node = findingsOf('versions', 'Node');
  const [major] = process.versions.node.split('.').map(Number);
  const findings = [
    usableNodes.includes(major ?? 0)
      ? node.ok(`Node ${process.versions.node}`)
      : node.warning(`Node ${process.versions.node}`, 'Node 20.20 or 22, on which Baton is tested'),
  ];
  const pods = new Map<string, CandidateKey>();
  for (const { name } of locks) {
    // That etcd is away is told where it is looked at.
    const view = await read(name).catch(() => null);
    for (const candidate of view?.candidates ?? []) pods.set(candidate.pod, candidate);
  }
  const versions = [...new Set([...pods.values()].map((pod) => pod.version))].toSorted();
  const own = findingsOf('versions', 'Baton');
  if (versions.length > 1)
    findings.push(own.warning(`pods run ${versions.join(' and ')}`, 'finish the deployment'));
  else findings.push(own.ok(`${version} here, ${versions[0] ?? 'no pod'} in the pods`));
  findings.push(...(await Promise.all([...pods.values()].map(checkClock))));
  return findings;
}

async function checkClock({ region, pod, health }: CandidateKey): Promise<Finding> {
  const { ok, warning } = findingsOf('clocks', `${region}/${pod}`);
  if (health === undefined) return warning('not asked: it has told no address', 'a newer Baton there');
  try {
    const beganMs = Date.now();
    const response = await fetch(`http://${health}/livez`, { signal: AbortSignal.timeout(limitMs) });
    const { at } = (await response.json()) as { at: string };
    const endedMs = Date.now();
    const differenceMs = Math.round(Date.parse(at) - (beganMs + endedMs) / 2);
    const exact = `${differenceMs} ms from this machine's, give or take ${Math.ceil((endedMs - beganMs) / 2)} ms`;
    return Math.abs(differenceMs) - (endedMs - beganMs) / 2 > clockDifferenceMs
      ? warning(`its clock is ${exact}: gaps in receipts are off by as much`, 'synchronise the clocks')
      : ok(`its clock is ${exact}`);
  } catch (error) {
    return warning(
      `${health} gives no answer: ${managementFailure(error)}`,
      'run baton doctor where pods can be reached',
    );
  }
}
