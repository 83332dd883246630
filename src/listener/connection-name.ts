/**
 * What the broker calls the connections of a lock's listener (`connection_name`): names hold no slash, and a pod's id is
 * new with every boot, so it means one pod and one lock.
 */
export const connectionName = (lock: string, region: string, pod: string): string =>
  `baton/${lock}/${region}/${pod}`;

/** What a connection's name says; `null` where it is none of a listener. */
export function parseConnectionName(name: string): { lock: string; region: string; pod: string } | null {
  const [baton, lock, region, pod, ...rest] = name.split('/');
  if (baton !== 'baton' || !lock || !region || !pod || rest.length > 0) return null;
  return { lock, region, pod };
}
