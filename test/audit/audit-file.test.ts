import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditFile } from '../../src/audit/audit-file';
import { verifyAudit } from '../../src/audit/audit-verifier';

const folder = mkdtempSync(join(tmpdir(), 'baton-audit-'));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;
let problems: string[];
beforeEach(() => (problems = []));

const open = (file: string): AuditFile =>
  new AuditFile({
    file,
    region: 'us-east',
    pod: 'a-1',
    version: '1',
    onProblem: (problem) => problems.push(problem),
  });

/** With an entry of its opening and `entries` more. */
async function record(entries = 4): Promise<string> {
  const file = join(folder, `${(count += 1)}`, 'audit.jsonl');
  const audit = open(file);
  for (let token = 1; token <= entries; token += 1)
    audit.append({ kind: 'tenure', lock: 'orders', event: 'start', token, why: 'test ü' });
  await audit.close();
  return file;
}
const linesOf = (file: string): string[] => readFileSync(file, 'utf8').trimEnd().split('\n');
const write = (file: string, lines: string[]): void => writeFileSync(file, `${lines.join('\n')}\n`);

test('a record that nobody has touched is whole, over several boots', async () => {
  const file = await record();
  const { head } = await verifyAudit(file);
  const again = open(file);
  again.append({ kind: 'tenure', lock: 'orders', event: 'lost', token: 5, why: 'test' });
  await again.close();
  expect(await verifyAudit(file, head)).toMatchObject({ problem: null, lines: 7, cutOff: [] });
  expect(problems).toEqual([]);
});

test.each<[string, (lines: string[]) => string[], string]>([
  [
    'changed',
    (lines) => lines.with(2, lines[2]!.replace('"token":2', '"token":9')),
    'line 3 was changed: line 4',
  ],
  ['missing', (lines) => lines.toSpliced(2, 1), 'line 3 is entry 4: entry 3 is missing before it'],
  ['missing at the beginning', (lines) => lines.slice(2), 'line 1 is entry 3: entries 1 to 2 are missing'],
  [
    'there twice',
    (lines) => lines.toSpliced(2, 0, lines[1]!),
    'line 3 is entry 2, which stands at another place',
  ],
  ['no entry', (lines) => lines.with(2, '{}'), 'line 3 was changed: line 4'],
  ['no entry at the end', (lines) => lines.with(4, '{}'), 'line 5 is not an audit entry'],
  ['moved', (lines) => [lines[0]!, lines[2]!, lines[1]!, ...lines.slice(3)], 'line 2 is entry 3'],
])('a line that is %s is found and named', async (_, tamper, problem) => {
  const file = await record();
  write(file, tamper(linesOf(file)));
  expect((await verifyAudit(file)).problem).toContain(problem);
});

test('what was taken off the end, or changed in the last line, shows by the head noted before', async () => {
  const file = await record();
  const { head } = await verifyAudit(file);
  const lines = linesOf(file);
  for (const tampered of [
    lines.slice(0, -1),
    [...lines.slice(0, -1), lines.at(-1)!.replace('start', 'lost')],
  ]) {
    write(file, tampered);
    expect((await verifyAudit(file)).problem).toBeNull();
    expect((await verifyAudit(file, head)).problem).toContain('taken off the end');
  }
});

test('a line that a crash has cut off stays, and the next boot vouches for it; another broken line is a problem', async () => {
  const file = await record();
  appendFileSync(file, '{"seq":6,"at":"20');
  await open(file).close();
  const next = open(file);
  next.append({ kind: 'tenure', lock: 'orders', event: 'start', token: 7, why: 'after the crash' });
  await next.close();
  expect(await verifyAudit(file)).toMatchObject({ problem: null, cutOff: [6], lines: 8 });
  const lines = linesOf(file);
  write(file, lines.with(5, '{"seq":6,"at":"21'));
  expect((await verifyAudit(file)).problem).toContain('line 6 was changed');
});

test('a second writer is found out, and told', async () => {
  const file = await record();
  const [one, other] = [open(file), open(file)];
  const event = { kind: 'tenure', lock: 'orders', event: 'start', token: 8, why: 'test' } as const;
  one.append(event);
  await one.close();
  other.append(event);
  await new Promise((done) => setTimeout(done, 50));
  one.append(event);
  await one.close();
  other.append(event);
  await other.close();
  expect(problems.join()).toContain('give each pod a file of its own');
});

test('a folder that cannot be written stops nothing, and is told once', async () => {
  writeFileSync(join(folder, 'taken'), '');
  const audit = open(join(folder, 'taken', 'audit.jsonl'));
  for (let i = 0; i < 3; i += 1) {
    audit.append({ kind: 'tenure', lock: 'orders', event: 'start', token: i, why: 'test' });
    await audit.close();
  }
  expect(problems).toEqual([expect.stringContaining('the audit record is not written')]);
});
