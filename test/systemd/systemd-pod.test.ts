import { hasEnvironment } from '../../src/dev/process-state';
import { eventually } from '../support/eventually';
import { NotifyReceiver } from '../support/notify-receiver';
import { TestSystem } from '../support/test-system';

let receiver: NotifyReceiver | undefined;
let system: TestSystem | undefined;
afterEach(async () => {
  await system?.stop();
  receiver?.close();
});

const words = (start: string): string[] => receiver!.having(start).flatMap((notice) => notice.words);

test('a pod tells systemd that it is ready, what it does, that it lives, and that it stops', async () => {
  receiver = await NotifyReceiver.open();
  const { socket } = receiver;
  system = await TestSystem.create({ environment: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '3000000' } });
  const pod = system.startPod('us-east-a');
  await eventually(() => expect(words('READY=1')).not.toEqual([]), 40_000);
  // Nobody has started the region's workflow yet: ready, and not asked to stand.
  expect((await system.view()).holder).toBeNull();
  await system.startRegions();
  const { holder } = await system.untilHeldBy('us-east-a');
  await eventually(() => expect(receiver!.latest('STATUS')).toBe(`active, token ${holder!.token}`));
  await eventually(() => expect(receiver!.having('WATCHDOG=1').length).toBeGreaterThan(2));

  const { agent, listeners } = system.processes('us-east-a');
  expect(listeners).not.toEqual([]);
  expect([agent, ...listeners].filter((pid) => hasEnvironment(pid, `NOTIFY_SOCKET=${socket}`))).toEqual([
    agent,
  ]);

  process.kill(pod.agentPid, 'SIGTERM');
  await eventually(() => expect(pod.pid).toBeUndefined(), 40_000);
  expect(words('READY=1').filter((word) => word === 'READY=1')).toHaveLength(1);
  // A drain limit of 10 s, and 20 s for all the rest.
  expect(words('STOPPING=1')).toContain('EXTEND_TIMEOUT_USEC=30000000');
});

test('a socket that is none costs the notification and not the pod', async () => {
  system = await TestSystem.create({ environment: { NOTIFY_SOCKET: '/nowhere', WATCHDOG_USEC: 'soon' } });
  await system.bringUp(['us-east-a']);
  expect(await system.logLines('us-east-a', 'systemd is not told')).toHaveLength(1);
});
