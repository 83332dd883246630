/**
 * The listener process, forked by the agent: connects to the broker, loads the handlers and waits, warm, for a
 * tenure. It ends when its agent does. SIGINT and SIGTERM reach the whole terminal group, and what they mean
 * is for the agent to decide.
 */
import './compile-eagerly';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { LockSettings } from '../config/config';
import { takeOverLock } from '../config/config-change';
import { AttemptRecord } from '../etcd/attempt-record';
import { EtcdClient } from '../etcd/etcd-client';
import { EtcdLock } from '../etcd/etcd-lock';
import { GuardReader } from '../etcd/guard-reader';
import { compileLazily } from '../eager-code';
import { createLogger, lockLogger, setLogLevel } from '../telemetry/logger';
import { sendToAgent } from './agent-pipe';
import { AmqpConsumer } from './amqp-consumer';
import { connectionName } from './connection-name';
import { giveDeathNotice } from './death-notice';
import { loadHandler } from './handler-module';
import { MessageMetrics } from './message-metrics';
import type { MessageTracing } from './message-tracing';
import { killOwnGroup } from './process-group';
import { deathNoticeArgument, type AgentMessage, type ListenerLock } from './protocol';
import { rehearseTenure } from './rehearsal';
import { reportStats } from './stats-reporter';
import { TenureRunner } from './tenure-runner';

type Init = Extract<AgentMessage, { kind: 'init' }>;

interface EtcdConnection {
  client: EtcdClient;
  holder: GuardReader;
}

const runners = new Map<string, TenureRunner>();
const settingsOf = new Map<string, LockSettings>();
let processLogger: Logger | null = null;
const consumers: AmqpConsumer[] = [];
/** One for all locks, by request timeout in ms. */
const connections = new Map<number, EtcdConnection>();
/** Where tracing is on. */
let tracing: MessageTracing | null = null;
let shareTracing = (): void => {};
let flushTracing = (): Promise<void> => Promise.resolve();
/** Once, whatever the number of locks. */
let rehearsal: Promise<void> | null = null;
const exitLimitMs = 1_000;
const flushLimitMs = 500;
/** An idle connection to etcd would have to be made anew by the first message of a tenure. */
const etcdWarmIntervalMs = 10_000;

process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('disconnect', () => killOwnGroup());
process.on('message', (message) => receive(message as AgentMessage));

const watching = startWatchdog();
// Handlers are the user's; the watchdog's thread loads what it needs until then.
void watching.then(compileLazily);
if (process.argv.includes(deathNoticeArgument)) giveDeathNotice();

/** Without its watchdog nothing could end this process in time: then it ends now. */
function startWatchdog(): Promise<void> {
  const watchdog = new Worker(join(__dirname, 'watchdog.js'), { name: 'watchdog', execArgv: [] });
  watchdog.on('error', () => killOwnGroup());
  watchdog.on('exit', () => killOwnGroup());
  return new Promise((resolve) => watchdog.once('message', () => resolve()));
}

function receive(message: AgentMessage): void {
  tracing?.note(message);
  switch (message.kind) {
    case 'init':
      void init(message);
      return;
    case 'configure':
      configure(message);
      return;
    case 'prepare':
      runners.get(message.lock)?.prepare(message);
      return;
    case 'unprepare':
      runners.get(message.lock)?.unprepare(message.n);
      return;
    case 'start':
      runners.get(message.lock)?.start(message);
      return;
    case 'deadline':
      runners.get(message.lock)?.extend(message.token, message.deadlineNs);
      return;
    case 'rehearse':
      runners.get(message.lock)?.rehearse(message.handOver);
      return;
    case 'drain':
      void runners.get(message.lock)?.drain(message);
      return;
    case 'resume':
      runners.get(message.lock)?.resume(message.token);
      return;
    case 'end':
      runners.get(message.lock)?.end(message.token);
      return;
    case 'ping':
      sendToAgent({ kind: 'pong', n: message.n });
      return;
    case 'exit':
      void exit();
      return;
  }
}

async function init(message: Init): Promise<void> {
  const { region, pod, logLevel: level } = message;
  const logger = createLogger({ region, pod, level });
  processLogger = logger;
  for (const { settings } of message.locks) settingsOf.set(settings.name, settings);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (err: unknown) => {
      logger.fatal({ err, reason: event }, 'an error was caught nowhere; the listener ends');
      process.exit(1);
    });
  }
  if (message.tracing) await openMessageTracing(pod);
  const metrics = new MessageMetrics(region);
  for (const lock of message.locks)
    void openLock(message, lock, metrics, lockLogger(logger, lock.settings.name));
  reportStats(metrics, () => [...runners.values()].map((runner) => runner.stats()));
}

function configure({ locks, logLevel }: Extract<AgentMessage, { kind: 'configure' }>): void {
  if (processLogger) setLogLevel(processLogger, logLevel);
  for (const read of locks) {
    const settings = settingsOf.get(read.name);
    if (!settings) continue;
    const prefetch = settings.queue.prefetch !== read.queue.prefetch;
    takeOverLock(settings, read);
    runners.get(read.name)?.settingsChanged({ prefetch });
  }
}

/** Its packages are loaded only now. */
async function openMessageTracing(pod: string): Promise<void> {
  const [{ openOtel }, module] = await Promise.all([
    import('../telemetry/otel-tracing.js'),
    import('./message-tracing.js'),
  ]);
  const otel = openOtel(pod);
  shareTracing = () => otel.shareWithProcess();
  flushTracing = () => otel.flush(flushLimitMs);
  tracing = new module.MessageTracing(otel);
}

async function openLock(
  { region, pod, etcd }: Init,
  { settings, amqpUrl, amqpUrlFile, amqpTls }: ListenerLock,
  metrics: MessageMetrics,
  logger: Logger,
): Promise<void> {
  const lock = settings.name;
  try {
    await watching;
    const loaded = await loadHandler(lock, settings.handler);
    // After the module, which may have set up OpenTelemetry in its own way.
    shareTracing();
    const handler = tracing?.wrap(loaded, settings) ?? loaded;
    const { client, holder } = connectionFor(etcd, settings);
    const reader = { readHolder: () => holder.readHolder(lock) };
    const attempts = new AttemptRecord(client, lock);
    void attempts.prepare();
    rehearsal ??= rehearseTenure({
      settings,
      region,
      pod,
      reader,
      logger: logger.child({}, { level: 'silent' }),
    });
    const consumer = new AmqpConsumer({
      url: amqpUrl,
      ...(amqpUrlFile !== undefined && { urlFile: amqpUrlFile }),
      ...(amqpTls && { tls: amqpTls }),
      queue: settings.queue,
      connectionName: connectionName(lock, region, pod),
      logger,
    });
    consumers.push(consumer);
    const runner = new TenureRunner({
      settings,
      region,
      pod,
      consumer,
      handler,
      reader,
      attempts,
      store: new EtcdLock(client, lock, {
        report: (reason) => logger.error({ reason }, 'unreadable value in etcd'),
      }),
      metrics: metrics.forLock(lock),
      logger,
      send: sendToAgent,
    });
    runners.set(lock, runner);
    consumer.open();
  } catch (error) {
    const why = (error as Error).message;
    logger.error({ reason: why }, 'the lock cannot be served');
    sendToAgent({ kind: 'cold', lock, why });
  }
}

/** Connected before it is needed, and kept so. */
function connectionFor(etcd: Init['etcd'], { name, requestTimeoutMs }: LockSettings): EtcdConnection {
  const known = connections.get(requestTimeoutMs);
  if (known) return known;
  const client = new EtcdClient(etcd, { requestTimeoutMs });
  const holder = new GuardReader(client);
  connections.set(requestTimeoutMs, { client, holder });
  // Whether it answers is of no interest yet; the guard asks before each message.
  const warmUp = (): void => void holder.readHolder(name).catch(() => {});
  warmUp();
  setInterval(warmUp, etcdWarmIntervalMs);
  return { client, holder };
}

async function exit(): Promise<void> {
  setTimeout(() => process.exit(0), exitLimitMs);
  for (const runner of runners.values()) runner.close();
  await Promise.all([...consumers.map((consumer) => consumer.close()), flushTracing()]);
  for (const { client, holder } of connections.values()) {
    holder.close();
    client.close();
  }
  process.exit(0);
}
