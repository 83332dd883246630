import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { HookQuestion, Receipt } from '../../workflows/contract';
import { eventually } from '../support/eventually';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let system: TestSystem;
let gate: Server;
let veto: string | null = null;
const asked: HookQuestion[] = [];

beforeAll(async () => {
  gate = createServer((request, response) => {
    let body = '';
    request.on('data', (part) => (body += String(part)));
    request.on('end', () => {
      asked.push(JSON.parse(body) as HookQuestion);
      response.writeHead(veto === null ? 200 : 409).end(veto ?? 'no change freeze');
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => gate.once('listening', resolve));
  const url = `http://127.0.0.1:${(gate.address() as AddressInfo).port}/`;
  const told = 'cat > told.json; echo told';
  system = await TestSystem.create({
    lockSettings: {
      approvalWithinMs: 60_000,
      hooks: [
        { name: 'freeze', at: 'before-release', url },
        // Hangs, and may: what is only told cannot stop anything.
        { name: 'dns', at: 'after-release', command: ['sleep', '60'], timeoutMs: 300 },
        { name: 'chat', at: 'after-takeover', command: ['/bin/sh', '-c', told] },
      ],
    },
  });
  await system.startRegions();
  system.startPod('us-east-a');
  await system.untilHeldBy('us-east-a');
  system.startPod('us-west-a');
  await system.untilReady('us-west-a');
});
afterAll(async () => {
  await system.stop();
  gate.close();
});

const by = (who: string): string[] => ['--reason', 'maintenance', '--by', who];
const waiting = (): Promise<void> =>
  eventually(async () => expect(await system.baton('status')).toContain('waits until'));

test('a switch waits for somebody else, asks the hooks, and every answer is in the receipt', async () => {
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(50);
  expect(await system.baton('why', 'us-west')).toMatch(
    /approval and hooks +lock +an approval by somebody else within 60.0 s, hook freeze before-release/,
  );
  const switched = system.tryBaton('switch', '--to', 'us-west', '--json', ...by('anna'));
  await waiting();
  const own = await system.tryBaton('approve', ...by('anna'));
  expect(own).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('must be approved by somebody else'),
  });
  expect(asked).toEqual([]);
  expect(await system.baton('approve', ...by('ben'))).toContain('approved by ben (maintenance)');

  const { code, stdout } = await switched;
  expect(code).toBe(0);
  const { switches } = JSON.parse(stdout) as { switches: { switchId: string; receipt: Receipt }[] };
  const [{ switchId, receipt } = { switchId: '', receipt: null }] = switches;
  expect(receipt?.answers).toMatchObject([
    { stage: 'approval', from: 'ben', verdict: 'ok', why: 'maintenance' },
    { stage: 'before-release', from: 'freeze', verdict: 'ok', why: 'no change freeze' },
    { stage: 'after-release', from: 'dns', verdict: 'failed', why: 'no answer within 300 ms' },
    { stage: 'after-takeover', from: 'chat', verdict: 'ok', why: 'told' },
  ]);
  expect(receipt).toMatchObject({ to: { region: 'us-west' }, gapMs: expect.any(Number) });
  expect(asked).toMatchObject([{ lock: system.lock, switchId, stage: 'before-release', by: 'anna' }]);
  const told = join(system.folder, 'told.json');
  expect(existsSync(told)).toBe(true);
  expect(JSON.parse(readFileSync(told, 'utf8'))).toMatchObject({ switchId, receipt: { id: switchId } });
  expect(await system.settle()).toMatchObject({ lost: [], duplicates: [], overlaps: 0 });
});

test('a veto of a person or of a hook stops the switch, and nothing is touched', async () => {
  const { holder } = await system.view();
  const to = holder?.region === 'us-west' ? 'us-east' : 'us-west';
  const first = system.tryBaton('switch', '--to', to, ...by('anna'));
  await waiting();
  expect(await system.baton('veto', ...by('ben'))).toContain('vetoed by ben: maintenance');
  expect(await first).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('vetoed by ben: maintenance'),
  });

  veto = 'change freeze until Monday';
  const second = system.tryBaton('switch', '--to', to, ...by('anna'));
  await waiting();
  await system.baton('approve', ...by('ben'));
  expect(await second).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('hook freeze vetoed: change freeze until Monday'),
  });
  expect((await system.view()).holder?.token).toBe(holder?.token);
  const nothing = await system.tryBaton('approve', ...by('ben'));
  expect(nothing).toMatchObject({ code: 1, stdout: expect.stringContaining('no switch') });
});

test('a dead pod is replaced without anybody’s word', async () => {
  const { holder } = await system.view();
  const [dead, next] = holder?.region === 'us-west' ? ['us-west-a', 'us-east-a'] : ['us-east-a', 'us-west-a'];
  await system.killPod(dead);
  const { last } = await system.untilHeldBy(next);
  expect(last?.receipt.cause).toBe('takeover');
  expect(last?.receipt.answers).toBeUndefined();
});
