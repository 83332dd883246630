import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HookQuestion, SwitchAnswer } from '../../workflows/contract';
import type { HookSettings } from '../config/config';

type Said = Pick<SwitchAnswer, 'verdict' | 'why'>;

/** Of what a hook says, no more is read than this. */
const maxBytes = 4_096;
const pipeLimitMs = 100;
const vetoStatuses = [403, 409];

/**
 * Asks a hook, over HTTP or by a command, and waits no longer than its `timeoutMs`. Never throws: a hook that cannot be
 * asked has failed. It can be asked twice about the same switch, when the pod that asked dies before it has said so.
 */
export async function askHook(hook: HookSettings, question: HookQuestion): Promise<SwitchAnswer> {
  const said = hook.url === undefined ? await run(hook, question) : await post(hook.url, hook, question);
  return { stage: question.stage, from: hook.name, at: new Date().toISOString(), ...said };
}

async function post(url: string, { timeoutMs }: HookSettings, question: HookQuestion): Promise<Said> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      body: JSON.stringify(question),
      headers: { 'content-type': 'application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    const said = firstLine(await readSome(response));
    const why = said === '' ? `HTTP ${response.status}` : said;
    if (response.ok) return { verdict: 'ok', why };
    if (vetoStatuses.includes(response.status)) return { verdict: 'vetoed', why };
    return { verdict: 'failed', why: said === '' ? why : `HTTP ${response.status}: ${said}` };
  } catch (error) {
    const { name, message, cause } = error as Error;
    if (name === 'TimeoutError') return { verdict: 'failed', why: `no answer within ${timeoutMs} ms` };
    const { message: reason, code } = (cause ?? {}) as { message?: string; code?: string };
    return { verdict: 'failed', why: reason || code || message };
  }
}

async function readSome({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body ?? []) {
    parts.push(part as Uint8Array);
    bytes += (part as Uint8Array).length;
    if (bytes >= maxBytes) break;
  }
  return Buffer.concat(parts).subarray(0, maxBytes).toString('utf8');
}

/** In a process group of its own, so that nothing that it has started outlives its time. */
async function run({ command = [], folder, timeoutMs }: HookSettings, question: HookQuestion): Promise<Said> {
  const [program = '', ...args] = command;
  const { lock, switchId, stage } = question;
  const child = spawn(program, args, {
    cwd: folder,
    detached: true,
    env: { ...process.env, BATON_LOCK: lock, BATON_SWITCH_ID: switchId, BATON_STAGE: stage },
  });
  let output = '';
  const hear = (part: Buffer): void => {
    output = (output + part.toString('utf8')).slice(-maxBytes);
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  // One that does not read what it is told closes the pipe.
  child.stdin.on('error', () => {});
  child.stdin.end(JSON.stringify(question));
  const limit = new AbortController();
  try {
    const ended = await Promise.race([
      once(child, 'exit').then(([code, signal]) => String(signal ?? code)),
      sleep(timeoutMs, null, { signal: limit.signal }),
    ]);
    if (child.pid !== undefined) killGroup(child.pid);
    if (ended === null) return { verdict: 'failed', why: `no answer within ${timeoutMs} ms` };
    // What it has said may still be in the pipe.
    if (!child.stdout.closed) await Promise.race([once(child, 'close'), sleep(pipeLimitMs)]);
    const said = lastLine(output);
    if (ended === '0') return { verdict: 'ok', why: said || 'exit code 0' };
    if (ended === '1') return { verdict: 'vetoed', why: said || 'exit code 1' };
    const how = /^\d+$/.test(ended) ? `exit code ${ended}` : ended;
    return { verdict: 'failed', why: said === '' ? how : `${how}: ${said}` };
  } catch (error) {
    return { verdict: 'failed', why: (error as Error).message };
  } finally {
    limit.abort();
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nothing of it is left.
  }
}

const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
const firstLine = (text: string): string => lines(text)[0] ?? '';
const lastLine = (text: string): string => lines(text).at(-1) ?? '';
