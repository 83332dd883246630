import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { elsewherePriority, lowerPriority } from '../../src/dev/lower-priority';

test('a session runs behind the others, also where Linux shares the processor by session', async () => {
  const leader = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  await once(leader, 'spawn');
  const pid = leader.pid as number;
  try {
    lowerPriority(pid);
    expect(getPriority(pid)).toBe(elsewherePriority);
    const group = `/proc/${pid}/autogroup`;
    const shown = existsSync(group) ? readFileSync(group, 'utf8') : '';
    expect(shown === '' || shown.includes(`nice ${elsewherePriority}`)).toBe(true);
    expect(getPriority(process.pid)).not.toBe(elsewherePriority);
  } finally {
    leader.kill('SIGKILL');
  }
});
