import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connect } from 'amqplib';
import type { Receipt } from '../../workflows/contract';
import { isRunning } from '../../src/dev/process-state';
import { eventually } from '../support/eventually';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

const handler = resolve(__dirname, '../../dist/test/support/traced-handler.js');
const sdk = /@opentelemetry\/(sdk|exporter|otlp|resources|core|context)/;
let receiver: OtlpReceiver;
let system: TestSystem;
let folder: string;

/** Notes every module of OpenTelemetry's SDK that any process of the system asks for. */
function moduleSpy(name: string): { environment: NodeJS.ProcessEnv; loaded: () => string[] } {
  const [script, file] = [join(folder, `${name}.cjs`), join(folder, `${name}.txt`)];
  writeFileSync(
    script,
    `const Module = require('node:module');
     const load = Module._load;
     Module._load = function (request, ...rest) {
       if (${sdk}.test(request)) require('node:fs').appendFileSync(${JSON.stringify(file)}, process.argv[1] + ' ' + request + '\\n');
       return load.call(this, request, ...rest);
     };`,
  );
  appendFileSync(file, '');
  return {
    environment: { NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --require ${script}` },
    loaded: () => readFileSync(file, 'utf8').split('\n').filter(Boolean),
  };
}

const switchTo = async (to: string, variables: NodeJS.ProcessEnv = {}): Promise<Receipt> => {
  const args = ['switch', '--to', to, '--reason', 'traced', '--by', 'jest', '--lock', system.lock, '--json'];
  // The operator's own spans come as JSON, the pods' in the default encoding.
  const operator = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', ...variables };
  const { code, stdout, stderr } = await system.tryBatonWith(operator, ...args);
  if (code !== 0) throw new Error(stdout + stderr);
  return (JSON.parse(stdout) as { switches: { receipt: Receipt }[] }).switches[0]!.receipt;
};

async function publishTraced(traceparent: string, headers: Record<string, string> = {}): Promise<string> {
  const messageId = `traced-${traceparent}`;
  const model = await connect(system.servers.rabbitmq);
  const channel = await model.createConfirmChannel();
  const body = Buffer.from(JSON.stringify({ seq: Date.now() }));
  channel.sendToQueue(system.lock, body, { messageId, headers: { traceparent, ...headers } });
  await channel.waitForConfirms();
  await model.close();
  return messageId;
}

beforeAll(async () => {
  receiver = await OtlpReceiver.open();
  folder = await mkdtemp(join(tmpdir(), 'baton-tracing-'));
});
afterAll(async () => {
  await receiver.close();
  await rm(folder, { recursive: true, force: true });
});

describe('with tracing on', () => {
  let spy: ReturnType<typeof moduleSpy>;

  beforeAll(async () => {
    spy = moduleSpy('on');
    system = await TestSystem.create({
      handler,
      environment: {
        ...spy.environment,
        BATON_TRACING: 'on',
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_BSP_SCHEDULE_DELAY: '100',
        // Longer than any test: who waits for an export that is not answered fails.
        OTEL_EXPORTER_OTLP_TIMEOUT: '600000',
        OTEL_BSP_EXPORT_TIMEOUT: '600000',
        OTEL_SERVICE_NAME: 'shop',
        // Of what the pods begin by themselves: nothing. What others have begun decides for itself.
        OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
        OTEL_TRACES_SAMPLER_ARG: '0',
      },
    });
    await system.bringUp();
    (await system.connectPublisher()).start(50);
    await system.untilProcessed(20);
  });
  afterAll(() => system.stop());

  test('sampling nothing gives nothing: neither for messages nor for takeovers', () => {
    expect(receiver.spans).toEqual([]);
    // The control for the test without tracing: it was loaded here, in agents and listeners.
    expect(spy.loaded().some((line) => line.includes('listener/main.js'))).toBe(true);
    expect(spy.loaded().some((line) => line.includes('cli/main.js'))).toBe(true);
  });

  test('one trace leads from the operator to the first message in the new region, and to what its handler does', async () => {
    const receipt = await switchTo('us-west', { OTEL_TRACES_SAMPLER: 'always_on' });
    const root = await eventually(() => {
      const [found] = receiver.named('baton switch');
      if (!found || !receiver.named('save order')[0]) throw new Error('not exported yet');
      return found;
    });
    const rest = (): ReceivedSpan[] => receiver.spans.filter(({ traceId }) => traceId === root.traceId);
    const only = (name: string): ReceivedSpan => {
      const found = rest().filter((span) => span.name === name);
      if (found.length !== 1) throw new Error(`${found.length} spans are called ${name}: ${tree(rest())}`);
      return found[0]!;
    };
    await eventually(() => only('activity awaitSuccessor'));
    await eventually(() => only('region workflow: switch'));
    expect(root).toMatchObject({ parentSpanId: '', service: 'shop', kind: 3, failed: false });
    const [workflow, activity, handOver] = [
      only('region workflow: switch'),
      only('activity drainAndHandOver'),
      only('hand over'),
    ];
    const [takeOver, first, message] = [
      only('take over'),
      only('first message'),
      only(`process ${system.lock}`),
    ];
    const parents = (span: ReceivedSpan, parent: ReceivedSpan): void => {
      if (span.parentSpanId !== parent.spanId)
        throw new Error(`${span.name} is no child of ${parent.name}:\n${tree(rest())}`);
    };
    parents(workflow, root);
    for (const { name } of rest().filter((span) => span.name.startsWith('activity ')))
      for (const each of rest().filter((span) => span.name === name)) parents(each, workflow);
    parents(handOver, activity);
    for (const name of ['offer', 'drain', 'commit']) parents(only(name), handOver);
    parents(takeOver, handOver);
    parents(first, takeOver);
    parents(message, first);
    parents(only('save order'), message);
    // Nothing hangs in the air, and each process has told its own part.
    const ids = new Set(rest().map(({ spanId }) => spanId));
    expect(rest().filter((span) => span !== root && !ids.has(span.parentSpanId))).toEqual([]);
    expect(handOver.instance).toMatch(/^us-east-a-/);
    expect([takeOver, first, message].map(({ instance }) => instance)).toEqual(
      Array(3).fill(receipt.to?.pod),
    );
    expect(first.attributes['baton.token']).toBe(receipt.to?.token);
    expect(workflow.events).toEqual(['preflight', 'drain', 'successor']);
    expect(workflow.startMs).toBeGreaterThanOrEqual(root.startMs - 5);
    expect(message.startMs).toBeGreaterThanOrEqual(only('drain').endMs - 5);
    const encodings = receiver.raw.map(({ contentType }) => contentType);
    expect(new Set(encodings)).toEqual(new Set(['application/json', 'application/x-protobuf']));
    // Whoever reads the receipt finds the trace.
    expect(receipt.trace?.traceparent).toBe(`00-${root.traceId}-${handOver.spanId}-01`);
    if (process.env.BATON_SHOW_TRACE) console.log(tree(rest()));
  });

  test("a message's trace goes on from its publisher into the handler, with its state and its baggage", async () => {
    const [traceId, parent] = ['5bd66ef5095369c7b0d1f8f4bd33716a', 'c532cb4098ac3dd2'];
    const baggage = { tracestate: 'shop=1', baggage: 'tenant=acme' };
    await publishTraced(`00-${traceId}-${parent}-01`, baggage);
    const ofTrace = await eventually(() => {
      const found = receiver.spans.filter((span) => span.traceId === traceId);
      if (found.length < 2) throw new Error(`${found.length} spans of the message so far`);
      return found;
    });
    const message = ofTrace.find(({ kind }) => kind === 5);
    expect(message).toMatchObject({
      name: `process ${system.lock}`,
      parentSpanId: parent,
      attributes: {
        'messaging.system': 'rabbitmq',
        'messaging.destination.name': system.lock,
        'messaging.message.id': `traced-00-${traceId}-${parent}-01`,
        'baton.lock': system.lock,
        'baton.region': 'us-west',
      },
    });
    const own = ofTrace.find(({ name }) => name === 'save order');
    expect(own).toMatchObject({ parentSpanId: message?.spanId, attributes: { tenant: 'acme' } });
    expect(ofTrace).toHaveLength(2);
  });

  test('what its publisher, or its operator, did not sample is sampled nowhere; a broken header is no trace', async () => {
    const before = receiver.spans.length;
    const unsampled = '00-6bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-00';
    const ids = [await publishTraced(unsampled), await publishTraced('00-nonsense')];
    await eventually(() => {
      const log = system.ledger().flatMap(({ records }) => records.map((record) => record.event));
      if (log.length === 0) throw new Error('nothing was processed');
    });
    expect(ids).toHaveLength(2);
    await system.untilReady('us-east-a');
    const receipt = await switchTo('us-east', { OTEL_TRACES_SAMPLER: 'always_off' });
    // It says to all who come after that it is not sampled.
    expect(receipt.trace?.traceparent).toMatch(/-00$/);
    await system.untilProcessed(system.processed() + 20);
    await new Promise((done) => setTimeout(done, 500));
    expect(receiver.spans.slice(before)).toEqual([]);
  });

  test('a collector that takes connections and never answers delays neither a switch nor a message', async () => {
    receiver.isSilent = true;
    await system.untilReady('us-west-a');
    const receipt = await switchTo('us-west', { OTEL_TRACES_SAMPLER: 'always_on' });
    expect(receipt).toMatchObject({ cause: 'switch', firstStartedAt: expect.any(String) });
    for (let i = 0; i < 20; i++)
      await publishTraced(`00-7bd66ef5095369c7b0d1f8f4bd33716a-${String(i + 1).padStart(16, '0')}-01`);
    await system.untilProcessed(system.processed() + 50);
    const verdict = await system.settle();
    expect(verdict).toMatchObject({ lost: [], duplicates: [], overlaps: 0, tokensMonotonic: true });
    // Nor the end of a pod.
    const { agent } = system.processes('us-west-a');
    process.kill(agent, 'SIGTERM');
    await eventually(() => {
      if (isRunning(agent)) throw new Error('the pod still runs');
    }, 30_000);
  });
});

test('without it no process loads the SDK, and nothing of a trace is written anywhere', async () => {
  const before = receiver.raw.length;
  const spy = moduleSpy('off');
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: '100' };
  system = await TestSystem.create({ environment: { ...spy.environment, ...endpoint } });
  try {
    await system.bringUp();
    (await system.connectPublisher()).start(50);
    await system.untilProcessed(20);
    const receipt = await switchTo('us-west');
    expect(receipt).toMatchObject({ cause: 'switch' });
    expect(receipt).not.toHaveProperty('trace');
    expect(spy.loaded()).toEqual([]);
    expect(receiver.raw.length).toBe(before);
    expect(existsSync(join(folder, 'off.cjs'))).toBe(true);
  } finally {
    await system.stop();
  }
});

/** For whoever reads a failure. */
function tree(spans: ReceivedSpan[], parent = '', depth = 0): string {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const from = Math.min(...spans.map(({ startMs }) => startMs));
  return spans
    .filter(({ parentSpanId }) => (parent === '' ? !ids.has(parentSpanId) : parentSpanId === parent))
    .toSorted((a, b) => a.startMs - b.startMs)
    .map((span) => {
      const where = span.instance.replace(/-[\da-f]{8}$/, '') || 'command line';
      const [at, took] = [span.startMs - from, span.endMs - span.startMs].map((ms) => ms.toFixed(1));
      const line = `${'  '.repeat(depth)}${span.name} (${where}) at ${at} ms, ${took} ms\n`;
      return line + tree(spans, span.spanId, depth + 1);
    })
    .join('');
}
