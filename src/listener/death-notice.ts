import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { deathNoticeFd } from './protocol';

/**
 * Lets the agent know at once when this process dies. The kernel reports a death after it has taken the memory apart, 8 to
 * 20 ms later; the children of its main thread it tells as that thread ends. So a child that does nothing holds the other
 * end of a pipe to the agent, and asks to be killed then. To be called by the main thread. Without Linux or util-linux the
 * pipe ends at once, and the agent waits for the exit.
 */
export function giveDeathNotice(): void {
  const { PATH } = process.env;
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'sleep', 'infinity'], {
    stdio: ['ignore', deathNoticeFd, 'ignore'],
    env: { PATH },
  });
  child.on('error', () => {});
  child.unref();
  // Else the pipe would end no sooner than this process.
  closeSync(deathNoticeFd);
}
