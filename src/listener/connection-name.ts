/**
 * What the broker calls the connections of a lock's listener (`connection_name`): names hold no slash, and a pod's id is
 * new with every boot, so it means one pod and one lock.
 */
export const connectionName = (lock: string, region: string, pod: string): string =>
  `baton/${lock}/${region}/${pod}`;
