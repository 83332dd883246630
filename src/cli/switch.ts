import { randomUUID } from 'node:crypto';
import os from 'node:os';
import type { Receipt } from '../../workflows/contract';
import { PlannedSwitch, type SwitchResult } from '../client/planned-switch';
import type { RegionWorkflows } from '../client/region-workflows';
import type { LockSettings } from '../config/config';
import type { LockStore } from '../pod/lock-store';
import { chosenLocks, checkRegion } from './chosen-locks';
import { type CommandSpec, configOption, jsonOption, parseCommand } from './command-line';
import { receiptText } from './receipt-text';
import { asCommandError, loadOperatorConfig, Servers } from './servers';

const spec = {
  name: 'switch',
  summary: 'make another region active, and wait for the receipt',
  options: {
    to: { value: 'REGION', required: true, help: 'the region to become active' },
    reason: { value: 'TEXT', required: true, help: 'why; stands in the receipt, the log and the history' },
    lock: { value: 'LOCK', multiple: true, help: 'only this lock (default: all)' },
    by: { value: 'WHO', help: 'who asks (default: the user and host)' },
    timeout: {
      value: 'SECONDS',
      whole: { min: 1, max: 86_400 },
      help: "then the switch is aborted (default: the lock's drain limit and 30 s)",
    },
    ...configOption,
    ...jsonOption,
  },
  notes: 'Exit code 0 when the region is active, 1 when it is not, with the reason.',
} as const satisfies CommandSpec;

/** On top of the drain limit: preflight, hand-over and the new holder's first message. */
const beyondDrainMs = 30_000;

interface LockSwitch {
  lock: string;
  switchId: string;
  result: SwitchResult;
}

export async function run(argv: string[]): Promise<number> {
  const options = parseCommand(spec, argv);
  if ('help' in options) {
    console.log(options.help);
    return 0;
  }
  const config = await loadOperatorConfig(options);
  checkRegion(config, '--to', options.to);
  const locks = chosenLocks(config, options.lock);
  const timeoutMs = options.timeout === undefined ? undefined : Number(options.timeout) * 1000;
  const asked = { to: options.to, reason: options.reason, by: options.by ?? whoAmI() };
  const servers = new Servers(config);
  try {
    const stores = await servers.lockStores(locks.map(({ name }) => name));
    // Connected only where a signal must be sent: an active target is told from etcd alone.
    const workflows = onceConnected(() => servers.workflows());
    const switches = await Promise.all(
      locks.map((settings, index) => switchLock(settings, stores[index]!, workflows, asked, timeoutMs)),
    );
    if (options.json) console.log(JSON.stringify({ switches: switches.map(jsonOf) }));
    else for (const { lock, result } of switches) print(lock, result);
    return switches.every(({ result }) => result.outcome === 'done' || result.outcome === 'already-active')
      ? 0
      : 1;
  } finally {
    await servers.close();
  }
}

/** One lock that fails must not hide what became of the others. */
async function switchLock(
  { name: lock, drainLimitMs }: LockSettings,
  store: LockStore,
  workflows: RegionWorkflows,
  asked: { to: string; reason: string; by: string },
  timeoutMs: number | undefined,
): Promise<LockSwitch> {
  const switchId = randomUUID();
  const timing = { timeoutMs: timeoutMs ?? drainLimitMs + beyondDrainMs, firstMessageMs: 3000, pollMs: 100 };
  const progress = (line: string): void => console.error(`${lock}: ${line}`);
  try {
    const planned = new PlannedSwitch({ lock, switchId, ...asked }, store, workflows, timing, progress);
    return { lock, switchId, result: await planned.run() };
  } catch (error) {
    const known = asCommandError(error);
    if (known === error) throw error;
    return { lock, switchId, result: { outcome: 'not-done', why: (known as Error).message } };
  }
}

function print(lock: string, result: SwitchResult): void {
  if (result.outcome === 'done') console.log(receiptText(result.receipt));
  else if (result.outcome === 'already-active') console.log(result.why);
  else console.error(`baton: ${lock} was not switched: ${result.why}`);
}

function jsonOf({ lock, switchId, result }: LockSwitch): object {
  const receipt: Receipt | null = result.outcome === 'done' ? result.receipt : null;
  return { lock, switchId, outcome: result.outcome, why: result.why, receipt };
}

function onceConnected(connect: () => Promise<RegionWorkflows>): RegionWorkflows {
  let connected: Promise<RegionWorkflows> | undefined;
  const workflows = (): Promise<RegionWorkflows> => (connected ??= connect());
  return {
    start: async (...call) => (await workflows()).start(...call),
    gracefulSwitch: async (...call) => (await workflows()).gracefulSwitch(...call),
    status: async (...call) => (await workflows()).status(...call),
    close: async () => (await connected)?.close(),
  };
}

function whoAmI(): string {
  try {
    return `${os.userInfo().username}@${os.hostname()}`;
  } catch {
    // A container's user id without an entry in /etc/passwd has no name.
    return `uid ${process.getuid?.() ?? '?'}@${os.hostname()}`;
  }
}
