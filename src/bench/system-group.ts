import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BatonSystem } from './baton-system';
import type { BenchContext } from './bench';
import type { ConsumerSystem, SystemPlace } from './contender';
import type { Addresses } from './delayed-servers';
import { installedPeers } from './installed-peers';
import { MeasuredSystem } from './measured-system';

/** Baton and peers that run beside each other under the same conditions. */
export interface SystemGroup {
  /** Part of the names of queues, locks and folders: letters, digits, dashes. */
  id: string;
  /** For people: `near`. */
  title: string;
  addresses: Addresses;
  ttlMs: number;
  prefetch: number;
  wants(peer: string): boolean;
}

/** Servers that were given by their address may remember an earlier run. */
const run = randomBytes(2).toString('hex');

export const nearAddresses = ({ stack }: BenchContext): Addresses => ({
  amqpUrl: stack.rabbitmqUrl,
  etcdAddresses: stack.etcdAddresses,
});

/** Its queue, its ledger's folder. */
export function placeOf(
  { folder: all }: BenchContext,
  { id: group, addresses, ttlMs, prefetch }: Omit<SystemGroup, 'title' | 'wants'>,
  name: string,
): SystemPlace {
  const id = `${group}-${run}-${name.replaceAll(/[^a-z]+/g, '-')}`;
  const folder = join(all, id);
  mkdirSync(folder, { recursive: true });
  return { id, ...addresses, ttlMs, prefetch, folder };
}

/**
 * Starts Baton and those installed peers that the group wants, one after the other: their starts would only take the
 * processor from each other. They are added to `running` as they come up, for the caller to stop.
 *
 * @throws Error when Baton does not start; a peer that does not is a note.
 */
export async function startGroup(
  context: BenchContext,
  group: SystemGroup,
  running: MeasuredSystem[],
  notes: string[],
): Promise<void> {
  const { stack, signal, say } = context;
  const installed = await installedPeers(context);
  const place = (name: string): SystemPlace => placeOf(context, group, name);
  const onUnexpectedExit = (line: string): void => {
    say(line);
    notes.push(line.split('\n')[0]!);
  };
  const systems: ConsumerSystem[] = [
    new BatonSystem(place('baton'), stack, { onUnexpectedExit }),
    ...installed.peers
      .filter(({ name }) => group.wants(name))
      .map((peer) => peer.system(place(peer.name), stack)),
  ];
  for (const system of systems) {
    signal.throwIfAborted();
    say(`starting ${system.name}, ${group.title}`);
    try {
      running.push(await MeasuredSystem.start(system, stack));
    } catch (error) {
      signal.throwIfAborted();
      if (system instanceof BatonSystem) throw error;
      const { message } = error as Error;
      say(`${system.name} did not start: ${message}`);
      notes.push(`${system.name}, ${group.title}, is missing: it did not start (${message.split('\n')[0]})`);
    }
  }
}
