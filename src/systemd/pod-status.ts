import type { HealthPort } from '../pod/health-server';

/** `systemctl status` shows one line. */
const maxLength = 300;

/** What the pod does, in one line: `active, token 42`; of several locks each with its name. */
export function podStatus(pod: Pick<HealthPort, 'locks' | 'health' | 'check'>): string {
  const health = pod.health();
  if (!health.ok) return oneLine(health.why);
  const { locks } = pod;
  const words = locks.map((lock) => {
    const what = lockStatus(pod, lock);
    return locks.length === 1 ? what : `${lock}: ${what}`;
  });
  return oneLine(words.join('; '));
}

function lockStatus(pod: Pick<HealthPort, 'check'>, lock: string): string {
  const holder = pod.check('holder', lock);
  if (holder.ok) return `active, token ${holder.token}`;
  const standby = pod.check('standby', lock);
  if (standby.ok) return 'standby, could take over at once';
  const readiness = pod.check('readiness', lock);
  return readiness.ok ? standby.why : `not ready: ${readiness.why}`;
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > maxLength ? `${line.slice(0, maxLength - 1)}…` : line;
}
