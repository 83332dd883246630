import { askForEtcdLeader } from '../../src/dev/etcd-leader';
import { eventually } from './eventually';

/** Index of the member that leads. `addresses` in the members' order; those that do not answer are skipped. */
export function etcdLeader(addresses: string[]): Promise<number> {
  return eventually(() => askForEtcdLeader(addresses));
}
