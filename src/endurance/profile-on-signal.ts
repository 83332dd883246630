/**
 * Preloaded into the pods of `npm run scale -- --profile FOLDER` (`NODE_OPTIONS=--require …`): SIGUSR2 begins a CPU
 * profile of the main thread, the next one writes it. Node takes `--cpu-prof` in no environment variable, and a pod
 * that is killed would write none.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';

export const profileFolderVariable = 'BATON_SCALE_PROFILES';

let session: Session | null = null;

function toggle(folder: string): void {
  if (!session) {
    session = new Session();
    session.connect();
    session.post('Profiler.enable');
    session.post('Profiler.start');
    return;
  }
  const ended = session;
  session = null;
  ended.post('Profiler.stop', (error, result) => {
    if (error) console.error(error);
    else writeFileSync(join(folder, `${process.pid}.cpuprofile`), JSON.stringify(result.profile));
    ended.disconnect();
  });
}

const folder = process.env[profileFolderVariable];
if (isMainThread && folder !== undefined) process.on('SIGUSR2', () => toggle(folder));
