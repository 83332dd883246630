import {
  type Context,
  context as active,
  defaultTextMapGetter,
  defaultTextMapSetter,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  CompositePropagator,
  setGlobalErrorHandler,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
} from '@opentelemetry/core';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type IdGenerator,
  RandomIdGenerator,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base';
import { spanIdOf, type TraceContext } from '../../workflows/trace-context';
import { version } from '../version';
import { otlpProtocol, tracesExporter } from './otel-environment';
import type { Attributes, SpanHandle, SpanOptions, Tracing } from './tracing';

/** An export that fails says so this often at most. */
const problemIntervalMs = 60_000;
const spanKinds = { client: SpanKind.CLIENT, server: SpanKind.SERVER } as const;
const standard = new W3CTraceContextPropagator();

/** Everything about where to, how much and under which name comes from OpenTelemetry's own variables. */
export function openOtel(instance?: string): OtelTracing {
  let saidAt = -Infinity;
  // Also for spans that are dropped: one line, and the work goes on.
  setGlobalErrorHandler((problem) => {
    if (performance.now() - saidAt < problemIntervalMs) return;
    saidAt = performance.now();
    process.emitWarning(`spans were not exported: ${messageOf(problem)}`, 'BatonTracing');
  });
  return new OtelTracing(instance);
}

export class OtelTracing implements Tracing {
  readonly isOn = true;
  readonly tracer: Tracer;
  private readonly ids = new ChosenIds();
  private readonly provider: BasicTracerProvider;

  constructor(instance?: string) {
    const own = resourceFromAttributes({
      'service.name': 'baton',
      'service.version': version,
      ...(instance !== undefined && { 'service.instance.id': instance }),
    });
    const exporter = openExporter();
    this.provider = new BasicTracerProvider({
      resource: defaultResource()
        .merge(own)
        .merge(detectResources({ detectors: [envDetector] })),
      idGenerator: this.ids,
      spanProcessors: exporter ? [new BatchSpanProcessor(exporter)] : [],
    });
    this.tracer = this.provider.getTracer('baton', version);
  }

  /** So that the spans of the user's code join in; what the process has set up by itself stays. */
  shareWithProcess(): void {
    active.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(messagePropagator);
    trace.setGlobalTracerProvider(this.provider);
  }

  begin(name: string, { parent, kind, attributes, startedAt, identity }: SpanOptions = {}): SpanHandle {
    this.ids.next = identity ? spanIdOf(identity) : null;
    const span = this.tracer.startSpan(
      name,
      {
        ...(kind && { kind: spanKinds[kind] }),
        ...(attributes && { attributes: defined(attributes) }),
        ...(startedAt !== undefined && { startTime: startedAt }),
      },
      contextOf(parent),
    );
    this.ids.next = null;
    return new OtelSpan(span);
  }

  async span<T>(name: string, options: SpanOptions, work: (span: SpanHandle) => Promise<T>): Promise<T> {
    const span = this.begin(name, options);
    try {
      return await work(span);
    } catch (error) {
      span.fail(messageOf(error));
      throw error;
    } finally {
      span.end();
    }
  }

  async flush(limitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs);
    });
    // What the exporter could not send it has said by itself.
    await Promise.race([this.provider.forceFlush().catch(() => undefined), limit]);
    clearTimeout(timer);
  }
}

/** Of messages: the trace, and what its sender wants to have handed on. */
export const messagePropagator = new CompositePropagator({
  propagators: [standard, new W3CBaggagePropagator()],
});

/** `active` without a span of the caller's: a program that was started within one has it in its environment. */
export function contextOf(parent: SpanOptions['parent']): Context {
  if (parent !== 'active') return parent ? extract(parent) : ROOT_CONTEXT;
  const { TRACEPARENT: traceparent, TRACESTATE: tracestate } = process.env;
  if (trace.getSpanContext(active.active()) || traceparent === undefined) return active.active();
  return extract({ traceparent, ...(tracestate !== undefined && { tracestate }) });
}

const extract = (carrier: TraceContext): Context =>
  standard.extract(ROOT_CONTEXT, carrier, defaultTextMapGetter);

class OtelSpan implements SpanHandle {
  readonly context: TraceContext | undefined;

  constructor(private readonly span: Span) {
    const carrier: Partial<TraceContext> = {};
    standard.inject(trace.setSpan(ROOT_CONTEXT, span), carrier, defaultTextMapSetter);
    const { traceparent, tracestate } = carrier;
    this.context = traceparent === undefined ? undefined : { traceparent, ...(tracestate && { tracestate }) };
  }

  set(attributes: Attributes): void {
    this.span.setAttributes(defined(attributes));
  }

  event(name: string, at: number): void {
    this.span.addEvent(name, at);
  }

  fail(why: string): void {
    this.span.setStatus({ code: SpanStatusCode.ERROR, message: why });
  }

  end(at?: number): void {
    if (this.span.isRecording()) this.span.end(at);
  }
}

/** Random ones, but for a span whose id others know already. */
class ChosenIds implements IdGenerator {
  next: string | null = null;
  private readonly random = new RandomIdGenerator();

  generateTraceId(): string {
    return this.random.generateTraceId();
  }

  generateSpanId(): string {
    return this.next ?? this.random.generateSpanId();
  }
}

function openExporter(): SpanExporter | null {
  if (tracesExporter() === 'none') return null;
  // One of the two is loaded.
  const module =
    otlpProtocol() === 'http/json'
      ? (require('@opentelemetry/exporter-trace-otlp-http') as typeof import('@opentelemetry/exporter-trace-otlp-http'))
      : (require('@opentelemetry/exporter-trace-otlp-proto') as typeof import('@opentelemetry/exporter-trace-otlp-proto'));
  return new module.OTLPTraceExporter();
}

const defined = (attributes: Attributes): Record<string, string | number | boolean> =>
  Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );

const messageOf = (problem: unknown): string =>
  problem instanceof Error ? problem.message : String(problem);
