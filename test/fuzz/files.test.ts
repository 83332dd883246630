import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { firstPrevious, hashOf } from '../../src/audit/audit-entry';
import { verifyAudit } from '../../src/audit/audit-verifier';
import { readHistories } from '../../src/temporal/history-archive';
import { fuzzLimitMs, fuzzRuns } from './fuzz-runs';
import { hostileJson, mutationOf } from './hostile-values';

jest.setTimeout(fuzzLimitMs(60_000));

const folder = mkdtempSync(join(tmpdir(), 'baton-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('an audit record', () => {
  const file = join(folder, 'audit.jsonl');
  const entry = (seq: number, previous: string): string =>
    JSON.stringify({ seq, at: '2026-01-01T00:00:00.000Z', previous, event: { kind: 'opened' } });
  const first = entry(1, firstPrevious);
  const second = entry(2, hashOf(first));

  it('is whole as it was written', async () => {
    writeFileSync(file, `${first}\n${second}\n`);
    await expect(verifyAudit(file)).resolves.toMatchObject({ problem: null, lines: 2 });
  });

  it('of anything else in place of a line is refused with a sentence', async () => {
    const anyLine = fc.oneof(
      hostileJson.map((value) => JSON.stringify(value) ?? ''),
      mutationOf(JSON.parse(second)).map((value) => JSON.stringify(value) ?? ''),
    );
    await fc.assert(
      fc.asyncProperty(anyLine, async (line) => {
        fc.pre(line !== second);
        // The first one is gone, and what stands there may claim anything.
        writeFileSync(file, `${line}\n${second}\n`);
        expect((await verifyAudit(file)).problem).toMatch(/^(?:line|entr(?:y|ies)) \d/);
      }),
      fuzzRuns(200),
    );
  });

  it.each([
    [
      'an event that is none, after a line that cannot be read',
      `x\n${entry(2, hashOf('x')).replace('{"kind":"opened"}', 'null')}\n`,
    ],
    ['a line without end', 'x'.repeat(20_000_000)],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0, 10, 0xc3, 0x28])],
  ])('with %s is refused', async (_, content) => {
    writeFileSync(file, content);
    await expect(verifyAudit(file)).resolves.toMatchObject({ problem: 'line 1 is not an audit entry' });
  });
});

describe('a saved history', () => {
  const histories = resolve(__dirname, '../histories');

  it.each([
    'null',
    '[]',
    '{"events": 5}',
    '{"events": []}',
    '{"events": [null]}',
    '{"events": [{"eventId": "x"}]}',
    '{"events": [{"eventId": "1", "eventType": "EVENT_TYPE_NONSENSE"}]}',
    '{"workflowId": {"a": 1}, "events": []}',
    '{"events": [{"workflowExecutionStartedEventAttributes": {}}]}',
  ])('that is %s is refused by the name of its file, before the SDK sees it', async (text) => {
    writeFileSync(join(folder, 'x.json'), text);
    await expect(readHistories(folder)).rejects.toThrow(/x\.json is not a workflow's history: /);
  });

  it('in the recorded form is taken', async () => {
    const [name = ''] = readdirSync(histories).filter((each) => each.endsWith('.json'));
    writeFileSync(join(folder, 'x.json'), readFileSync(join(histories, name)));
    await expect(readHistories(folder)).resolves.toHaveLength(1);
  });
});
