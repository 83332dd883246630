import { readFileSync } from 'node:fs';
import { Worker } from '@temporalio/worker';
import type { DrainAndHandOverInput } from '../../workflows/contract';
import { derivedChild, readTrace, spanIdOf } from '../../workflows/trace-context';
import { activityInterceptors, traceSinks } from '../../src/temporal/activity-tracing';
import type { SpanHandle, Tracing } from '../../src/telemetry/tracing';
import { workflowBundlePath } from '../../src/temporal/workflow-bundle';
import { historyNames, readHistory } from './history-file';
import { RegionFixture } from './region-fixture';

jest.setTimeout(180_000);

const trace = {
  traceparent: '00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01',
  tracestate: 'shop=1',
};

test('a context that is none counts as none, and a derived span is the same whenever it is named', () => {
  expect(readTrace(trace)).toEqual(trace);
  expect(readTrace({ ...trace, tracestate: 'ü' })).toEqual({ traceparent: trace.traceparent });
  for (const traceparent of [
    undefined,
    7,
    '',
    'nonsense',
    '00-00000000000000000000000000000000-c532cb4098ac3dd2-01',
    '00-5bd66ef5095369c7b0d1f8f4bd33716a-0000000000000000-01',
    `${trace.traceparent}-more`,
    trace.traceparent.toUpperCase(),
  ])
    expect(readTrace({ traceparent })).toBeUndefined();
  expect(readTrace(null)).toBeUndefined();
  const child = derivedChild(trace, 'us-east s1');
  expect(readTrace(child)).toEqual(child);
  expect(child.traceparent.slice(0, 36)).toBe(trace.traceparent.slice(0, 36));
  expect(derivedChild(trace, 'us-east s1')).toEqual(child);
  const ids = [child, trace, derivedChild(trace, 'us-east s2')].map(spanIdOf);
  expect(new Set(ids).size).toBe(3);
});

test("a switch's context reaches the hand-over as the workflow's own span, and no other activity", async () => {
  const fixture = await RegionFixture.create();
  try {
    const { pod } = await fixture.active();
    await fixture.pod('w1', fixture.west);
    const request = { switchId: 'traced', to: fixture.west, reason: 'maintenance', by: 'anna', trace };
    const answer = await fixture.client.switchTo(fixture.lock, fixture.east, request);
    expect(answer).toMatchObject({ outcome: 'answered', answer: { result: 'done', trace } });
    const own = derivedChild(trace, `${fixture.east} traced`);
    const [drain] = pod.callsOf<DrainAndHandOverInput>('drainAndHandOver');
    expect(drain?.trace).toEqual(own);
    // Standing is no part of it.
    const standing = pod.callsOf<object>('awaitTenure');
    expect(standing.length).toBeGreaterThan(0);
    for (const input of standing) expect(input).not.toHaveProperty('trace');
  } finally {
    await fixture.close();
  }
});

/** Notes what was begun. */
class NotedTracing implements Tracing {
  readonly isOn = true;
  readonly names: string[] = [];

  begin(name: string): SpanHandle {
    this.names.push(name);
    return { context: undefined, set() {}, event() {}, fail() {}, end() {} };
  }
  span<T>(name: string, _options: unknown, work: (span: SpanHandle) => Promise<T>): Promise<T> {
    return work(this.begin(name));
  }
  flush(): Promise<void> {
    return Promise.resolve();
  }
}

describe('with tracing on, in workers, recorded histories replay, and no span is told again', () => {
  const code = readFileSync(workflowBundlePath, 'utf8');
  test.each(historyNames())('%s', async (name) => {
    const tracing = new NotedTracing();
    const options = {
      workflowBundle: { code },
      interceptors: activityInterceptors(tracing),
      sinks: traceSinks(tracing),
    };
    await expect(Worker.runReplayHistory(options, readHistory(name))).resolves.toBeUndefined();
    expect(tracing.names).toEqual([]);
  });
});
