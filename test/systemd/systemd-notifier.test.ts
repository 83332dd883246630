import { uptime } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { SystemdNotifier, takeNotifyVariables } from '../../src/systemd/systemd-notifier';
import type { HealthPort, LockVerdict } from '../../src/pod/health-server';
import { eventually } from '../support/eventually';
import { NotifyReceiver } from '../support/notify-receiver';

let receiver: NotifyReceiver;
let notifier: SystemdNotifier | undefined;
beforeEach(async () => {
  receiver = await NotifyReceiver.open();
});
afterEach(async () => {
  await notifier?.close();
  notifier = undefined;
  receiver.close();
});

/** What the test says of the pod. */
const pod = { ready: false, healthy: true, token: null as number | null };
const port: Pick<HealthPort, 'locks' | 'health' | 'check'> = {
  locks: ['orders'],
  health: () => ({
    ok: pod.healthy,
    why: pod.healthy ? 'well' : 'tenure 7 of orders runs past its deadline',
  }),
  check: (what, lock): LockVerdict => {
    const ok = what === 'holder' ? pod.token !== null : what === 'standby' ? false : pod.ready;
    return { lock, ok, why: ok ? 'well' : 'has no lease in etcd', token: pod.token };
  },
};

const warnings: string[] = [];
const logger = {
  warn: ({ reason }: { reason: string }, text: string) => void warnings.push(`${text}: ${reason}`),
  info: () => {},
};

function open(watchdogMs: number | null = null, socket = receiver.socket): SystemdNotifier {
  Object.assign(pod, { ready: false, healthy: true, token: null });
  warnings.length = 0;
  notifier = new SystemdNotifier(port, { socket, watchdogMs, stopLimitMs: 50_000, logger });
  return notifier;
}

test('READY once, when every lock could be held, and a sentence whenever it changes', async () => {
  open();
  await eventually(() => expect(receiver.latest('STATUS')).toBe('not ready: has no lease in etcd'));
  expect(receiver.having('READY')).toHaveLength(0);
  Object.assign(pod, { ready: true, token: 42 });
  await eventually(() => expect(receiver.latest('STATUS')).toBe('active, token 42'));
  pod.ready = false;
  pod.token = null;
  await eventually(() => expect(receiver.latest('STATUS')).toBe('not ready: has no lease in etcd'));
  expect(receiver.having('READY').map(({ words }) => words)).toEqual([
    ['READY=1', 'STATUS=active, token 42'],
  ]);
});

test('the watchdog is pinged in time while the pod is healthy, and only then', async () => {
  open(1_500);
  await eventually(() => expect(receiver.having('WATCHDOG=1').length).toBeGreaterThan(3));
  pod.healthy = false;
  await eventually(() => expect(receiver.latest('STATUS')).toBe('tenure 7 of orders runs past its deadline'));
  const before = receiver.having('WATCHDOG=1').length;
  await sleep(2_500);
  expect(receiver.having('WATCHDOG=1')).toHaveLength(before);
  pod.healthy = true;
  await eventually(() => expect(receiver.having('WATCHDOG=1').length).toBeGreaterThan(before));
});

test('a loop that stands still pings nobody', async () => {
  open(900);
  await eventually(() => expect(receiver.having('WATCHDOG=1').length).toBeGreaterThan(1));
  const from = uptime() + 0.5;
  const until = from + 2.5;
  while (uptime() < until);
  await eventually(() => expect(receiver.notices.at(-1)!.at).toBeGreaterThan(until));
  // What was on its way when the loop stopped had half a second to arrive.
  expect(receiver.notices.filter(({ at }) => at > from && at <= until)).toEqual([]);
});

test('STOPPING comes at once, with the time that the shutdown may take', async () => {
  open().stop();
  await eventually(() => expect(receiver.having('STOPPING=1')).toHaveLength(1));
  expect(receiver.having('STOPPING=1')[0]!.words).toContain('EXTEND_TIMEOUT_USEC=50000000');
});

test('a socket that nobody reads is one warning, and nothing else', async () => {
  open(300, '/nowhere/socket');
  await eventually(() => expect(warnings).toHaveLength(1));
  await sleep(1_500);
  expect(warnings).toEqual([expect.stringMatching(/^systemd is not told: .*/)]);
});

describe('the variables', () => {
  const pid = 77;

  test('are taken out of the environment', () => {
    const env = { NOTIFY_SOCKET: '@x', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '77', HOME: '/' };
    expect(takeNotifyVariables(env, pid)).toEqual({ socket: '@x', watchdogMs: 30_000 });
    expect(env).toEqual({ HOME: '/' });
  });

  test.each([
    ['no socket', { WATCHDOG_USEC: '30000000' }, null],
    ['an empty socket', { NOTIFY_SOCKET: '' }, null],
    ['no watchdog', { NOTIFY_SOCKET: '/s' }, { socket: '/s', watchdogMs: null }],
    [
      'a watchdog of another process',
      { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '5000000', WATCHDOG_PID: '78' },
      { socket: '/s', watchdogMs: null },
    ],
    [
      'a watchdog that is no number',
      { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '-1' },
      { socket: '/s', watchdogMs: null },
    ],
  ])('%s', (_, env, expected) => {
    expect(takeNotifyVariables({ ...env }, pid)).toEqual(expected);
  });
});
