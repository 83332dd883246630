import { standbysOf } from './candidates';
import { readWhyStay } from './flap-rule';
import type { LockAgent } from './lock-agent';

/** Why this pod must not be killed for a drill while it holds this lock, or `null`. Asks etcd. */
export async function whyNotCrash(agent: LockAgent): Promise<string | null> {
  const { settings, identity, store, lock } = agent;
  if (!settings.drill.allowCrash)
    return `the configuration of ${identity.pod} does not allow it (locks.${lock}.drill.allowCrash)`;
  const view = await store.read();
  const { paused, blocked } = view;
  if (paused) return `${lock} is paused by ${paused.who} (${paused.why}): nobody would take it over`;
  if (blocked) return `${lock} is blocked (${blocked.why}): nobody would take it over`;
  const standbys = standbysOf(view, identity.pod);
  if (standbys.length === 0) return `no other candidate for ${lock} is ready and stands`;
  if (standbys.some(({ region }) => region === identity.region)) return null;
  const stays = view.flap.tripped?.why ?? (await readWhyStay(store, view, settings.maxChangesPerHour));
  return stays && `${lock} would stay in ${identity.region} until baton ack: ${stays}`;
}
