import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevStack, type DevStack } from '../../src/dev/dev-stack';
import { buildMutated } from '../../src/torture/controls/mutated-build';
import { controls, judgeControl } from '../../src/torture/controls/controls';
import { mutations } from '../../src/torture/controls/mutations';

jest.setTimeout(300_000);

let stack: DevStack;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'baton-controls-'));
  stack = await startDevStack();
}, 120_000);
afterAll(async () => {
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
});

// All others: npm run torture:controls. A peer's stale message does not come in every round.
test.each(['baton', 'guard'])('the checker judges the control %s as expected', async (id) => {
  const control = controls.find((each) => each.id === id)!;
  const { asExpected, report } = await judgeControl(control, stack, folder, 1);
  const violations = report.violations.map(({ kind, text }) => `${kind}: ${text}`);
  expect({ asExpected, violations: asExpected ? [] : violations }).toEqual({
    asExpected: true,
    violations: [],
  });
  expect(report).toMatchObject({ tenures: 2, lost: 0 });
});

test('every mutation still finds its place in the compiled program', () => {
  for (const each of Object.values(mutations)) expect(buildMutated(folder, each)).toMatch(/main\.js$/);
  const gone = { file: 'src/listener/guard.js', find: 'no such thing', replace: '' };
  expect(() => buildMutated(folder, [gone])).toThrow('expected "no such thing" once, found it 0 times');
});
