import type { LockTruth, Receipt } from '../../workflows/contract';
import { lockChecks } from '../../workflows/preflight';

const now = Date.parse('2026-01-01T00:00:00Z');

function sinceLastChange(minSwitchIntervalMs: number, agoMs: number): boolean | undefined {
  const last = { at: new Date(now - agoMs).toISOString() } as Receipt;
  const truth = { holder: null, paused: null, blocked: null, successor: null, last } as unknown as LockTruth;
  const rules = { lock: 'orders', tenure: null, to: null, minSwitchIntervalMs, underWay: null, now };
  return lockChecks(truth, rules).find(({ check }) => check === 'time since last change')?.passed;
}

test('a switch too soon after the last change is refused', () => {
  expect(sinceLastChange(1_000, 999)).toBe(false);
  expect(sinceLastChange(1_000, 1_000)).toBe(true);
});

test('without a limit none is refused, whatever the clock of the pod that changed it last says', () => {
  expect(sinceLastChange(0, 0)).toBe(true);
  expect(sinceLastChange(0, -60_000)).toBe(true);
});
