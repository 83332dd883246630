import { Etcd3 } from 'etcd3';

/**
 * Index of the member that leads, asked of each. `addresses` in the members' order; those that do not answer are
 * skipped. @throws Error when none says that it leads.
 */
export async function askForEtcdLeader(addresses: string[]): Promise<number> {
  const leads = await Promise.all(
    addresses.map(async (address) => {
      const client = new Etcd3({
        hosts: `http://${address}`,
        dialTimeout: 5_000,
        defaultCallOptions: () => ({ deadline: Date.now() + 5_000 }),
      });
      try {
        const status = await client.maintenance.status();
        return status.leader === status.header.member_id;
      } catch {
        return false; // Frozen or gone: it is not the one we look for.
      } finally {
        client.close();
      }
    }),
  );
  const index = leads.indexOf(true);
  if (index < 0) throw new Error(`none of ${addresses.join(', ')} says that it leads`);
  return index;
}
