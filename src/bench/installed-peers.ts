import type { BenchContext } from './bench';
import { peers, type Peer } from './peers/peers';

export interface InstalledPeers {
  peers: Peer[];
  /** Why one of them is missing. */
  notes: string[];
}

const known = new WeakMap<BenchContext, Promise<InstalledPeers>>();

/** The peers of this run: not skipped, and installed. Asked again, it answers the same. */
export function installedPeers(context: BenchContext): Promise<InstalledPeers> {
  let found = known.get(context);
  if (!found) known.set(context, (found = installAll(context)));
  return found;
}

async function installAll(context: BenchContext): Promise<InstalledPeers> {
  const result: InstalledPeers = { peers: [], notes: [] };
  // One after the other: their compilers would only take the processor from each other.
  for (const peer of peers) {
    context.signal.throwIfAborted();
    if (context.skips(peer.name)) {
      result.notes.push(`${peer.name} was skipped (--skip)`);
      continue;
    }
    try {
      await peer.install((line) => context.say(line), context.signal);
      result.peers.push(peer);
    } catch (error) {
      context.signal.throwIfAborted();
      const why = (error as Error).message.split('\n')[0] ?? '';
      context.say(`${peer.name} could not be installed: ${why}`);
      result.notes.push(
        `${peer.name} is missing: it could not be installed (${why}); it needs ${peer.needs}`,
      );
    }
  }
  return result;
}
