import os from 'node:os';
import type { Tenure } from '../../workflows/contract';
import { deadlineOf, now, type ConfirmedExtension } from '../../src/pod/lease-clock';
import { RunningTenure } from '../../src/pod/running-tenure';
import { pass, releaseClock, stopClock } from './fake-clock';
import { lockSettings } from './pod-fixture';
import { drained, ScriptedListener } from './scripted-listener';

const ttlMs = 5_000;
const settings = lockSettings('orders', { leaseTtlMs: ttlMs });
const marginMs = settings.deadlineMarginMs;
const tenure: Tenure = { lock: 'orders', region: 'us-east', pod: 'a', leaseId: '7', token: 12, since: '' };

let listener: ScriptedListener;
let running: RunningTenure;
let deadlines: number;
/** ms for which the machine was suspended: the kernel's uptime goes on, the monotonic clock does not. */
let suspendedForMs: number;

const extensionNow = (): ConfirmedExtension => ({ sent: now(), ttlMs });

beforeEach(() => {
  stopClock();
  suspendedForMs = 0;
  jest.spyOn(os, 'uptime').mockImplementation(() => (performance.now() + suspendedForMs) / 1000);
  listener = new ScriptedListener();
  deadlines = 0;
  running = new RunningTenure(tenure, listener.asProcess, settings, extensionNow(), null, () => {
    deadlines += 1;
  });
});
afterEach(() => {
  running.end('the test is over');
  jest.restoreAllMocks();
  releaseClock();
});

test('the listener starts with the deadline that follows from when the extension was sent', async () => {
  const sentBefore = extensionNow();
  await pass(1_000);
  const other = new ScriptedListener();
  const later = new RunningTenure(tenure, other.asProcess, settings, sentBefore, null, () => {});
  expect(other.starts).toEqual([
    { lock: 'orders', token: 12, leaseId: '7', deadlineNs: deadlineOf(sentBefore, marginMs), marginMs },
  ]);
  expect(later.marginMs).toBeCloseTo(ttlMs - marginMs - 1_000, 0);
  later.end('over');
});

test('at the deadline it says so, not before and not again', async () => {
  await pass(ttlMs - marginMs - 1);
  expect([deadlines, running.isValid()]).toEqual([0, true]);
  await pass(3);
  expect([deadlines, running.isValid()]).toEqual([1, false]);
  await pass(2 * ttlMs);
  expect(deadlines).toBe(1);
});

test('a confirmed extension moves the deadline and tells the listener', async () => {
  await pass(2_000);
  const extension = extensionNow();
  running.extend(extension);
  expect(listener.extensions).toEqual([
    { lock: 'orders', token: 12, deadlineNs: deadlineOf(extension, marginMs), marginMs },
  ]);
  await pass(ttlMs - marginMs - 10);
  expect([deadlines, running.isValid()]).toEqual([0, true]);
  await pass(20);
  expect(deadlines).toBe(1);
});

test('the deadline never moves back', async () => {
  const old = extensionNow();
  await pass(1_000);
  running.extend(extensionNow());
  const { marginMs: before } = running;
  running.extend(old);
  running.extend({ ...extensionNow(), ttlMs: ttlMs - 500 });
  expect(running.marginMs).toBe(before);
  expect(listener.extensions).toHaveLength(1);
});

test('a late extension never revives a passed deadline', async () => {
  await pass(ttlMs - marginMs + 5);
  running.extend(extensionNow());
  expect(running.isValid()).toBe(false);
  expect(running.marginMs).toBeLessThan(0);
  expect(listener.extensions).toEqual([]);
});

test('a passed deadline is found by the extension even where the timer could not run', () => {
  const late = process.hrtime.bigint() + BigInt(ttlMs) * 1_000_000n;
  jest.spyOn(process.hrtime, 'bigint').mockReturnValue(late);
  running.extend({ sent: { ns: late, uptimeMs: ttlMs }, ttlMs });
  expect(deadlines).toBe(1);
  expect(listener.extensions).toEqual([]);
});

test.each([1, -1])('a machine that was suspended cannot believe its deadline (%d)', async (sign) => {
  suspendedForMs = (sign * marginMs) / 2 + sign * 10;
  expect(running.isValid()).toBe(false);
  running.extend(extensionNow());
  expect(deadlines).toBe(1);
  expect(listener.extensions).toEqual([]);
});

test('clocks that differ by less than half the margin change nothing', async () => {
  suspendedForMs = marginMs / 2 - 10;
  expect(running.isValid()).toBe(true);
  await pass(1_000);
  running.extend(extensionNow());
  expect([deadlines, listener.extensions.length]).toEqual([0, 1]);
});

test('it ends once, with the first reason, and has no deadline any more', async () => {
  expect(running.end('handed over')).toBe(true);
  expect(running.end('lost')).toBe(false);
  await expect(running.ended).resolves.toBe('handed over');
  expect(running.phase).toBe('ended');
  await pass(2 * ttlMs);
  running.extend(extensionNow());
  expect([deadlines, listener.extensions.length, running.isValid()]).toEqual([0, 0, false]);
});

test('after a complete drain the listener stays, and can resume under the same token', async () => {
  const report = drained();
  listener.onDrain = () => Promise.resolve(report);
  const draining = running.drain();
  expect(running.phase).toBe('draining');
  await expect(draining).resolves.toBe(report);
  expect(running.phase).toBe('idle');
  running.resume();
  expect(running.phase).toBe('running');
  expect(listener.told).toEqual(['start 12', 'drain 12', 'resume 12']);
});

test('a drain that ran into its limit is over only when the killed listener has exited', async () => {
  listener.exitDelayMs = 500;
  listener.onDrain = () => Promise.resolve(drained({ complete: false }));
  let over = false;
  const draining = running.drain().then(() => (over = true));
  await pass(490);
  expect([over, running.phase, listener.told.at(-1)]).toEqual([false, 'draining', 'kill']);
  await pass(20);
  await draining;
  expect([running.phase, listener.hasExited]).toEqual(['idle', true]);
});

test('the lease is extended and the deadline watched during a drain', async () => {
  listener.onDrain = () => new Promise(() => {});
  void running.drain();
  await pass(2_000);
  running.extend(extensionNow());
  expect(listener.extensions).toHaveLength(1);
  await pass(ttlMs);
  expect(deadlines).toBe(1);
});

test('a tenure that ended during its drain stays ended', async () => {
  const draining = running.drain();
  running.end('lost');
  await draining;
  expect(running.phase).toBe('ended');
  running.becomeIdle();
  expect(running.phase).toBe('ended');
});
