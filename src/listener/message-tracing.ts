import { inspect } from 'node:util';
import {
  type Context,
  context as active,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  trace,
} from '@opentelemetry/api';
import type { TraceContext } from '../../workflows/trace-context';
import type { LockSettings } from '../config/config';
import { contextOf, messagePropagator, type OtelTracing } from '../telemetry/otel-tracing';
import type { Handler, HandlerContext, Message } from './handler';
import type { AgentMessage } from './protocol';

/** A tenure's first message is awaited, in the trace of the take-over. */
interface Awaited {
  trace: TraceContext;
  /** Every token above it is of that tenure. */
  afterToken: number;
}

interface MessageSpans {
  context: Context;
  message: Span;
  first: Span | null;
}

/** AMQP knows many kinds of values; W3C's are text. */
const headers: TextMapGetter<Record<string, unknown>> = {
  keys: (carrier) => Object.keys(carrier),
  get: (carrier, key) => (typeof carrier[key] === 'string' ? carrier[key] : undefined),
};

/**
 * A span around each call of the handler, which runs within it: what the handler's own instrumentation begins there
 * belongs to the trace of the message's publisher. Loaded only where tracing is on.
 */
export class MessageTracing {
  private readonly awaited = new Map<string, Awaited>();
  /** Of tenures whose first message has come. */
  private readonly worked = new Map<string, number>();

  constructor(private readonly tracing: OtelTracing) {}

  /** What the agent says of a tenure that begins, or may be about to. */
  note(message: AgentMessage): void {
    if (message.kind === 'unprepare' || message.kind === 'end') this.awaited.delete(message.lock);
    if (message.kind !== 'prepare' && message.kind !== 'start') return;
    const afterToken = message.kind === 'prepare' ? message.afterToken : message.token - 1;
    const { lock, trace: of } = message;
    // It is said again with each extension, and by `start` of what has begun by itself.
    if ((this.worked.get(lock) ?? -1) > afterToken) return;
    if (of) this.awaited.set(lock, { trace: of, afterToken });
    else this.awaited.delete(lock);
  }

  wrap(handler: Handler, settings: LockSettings): Handler {
    return (message, context) => {
      const spans = this.begin(message, context, settings);
      if (!spans) return handler(message, context);
      let result: Promise<void> | void;
      try {
        result = active.with(spans.context, () => handler(message, context));
      } catch (error) {
        end(spans, error);
        throw error;
      }
      if (typeof result?.then === 'function')
        result.then(
          () => end(spans),
          (error: unknown) => end(spans, error),
        );
      else end(spans);
      return result;
    };
  }

  /** `null`: whatever is wrong with the headers, the message is worked on. */
  private begin(
    message: Message,
    context: HandlerContext,
    { name, queue }: LockSettings,
  ): MessageSpans | null {
    try {
      const { tracer } = this.tracing;
      const { token, region, pod, redeliveries } = context;
      const own = { 'baton.lock': name, 'baton.region': region, 'baton.pod': pod, 'baton.token': token };
      const takeOver = this.takeFirst(name, token);
      const first = takeOver && tracer.startSpan('first message', { attributes: own }, contextOf(takeOver));
      const publisher = messagePropagator.extract(ROOT_CONTEXT, message.headers, headers);
      const isPublished = trace.getSpanContext(publisher) !== undefined;
      // Without a publisher's trace, the first message belongs to that of the switch, down to the handler.
      const parent = first && !isPublished ? trace.setSpan(publisher, first) : publisher;
      const span = tracer.startSpan(
        `process ${queue.name}`,
        {
          kind: SpanKind.CONSUMER,
          attributes: {
            ...own,
            'messaging.system': 'rabbitmq',
            'messaging.operation.type': 'process',
            'messaging.operation.name': 'process',
            'messaging.destination.name': queue.name,
            'messaging.rabbitmq.destination.routing_key': message.routingKey,
            ...(message.messageId !== undefined && { 'messaging.message.id': message.messageId }),
            'baton.redeliveries': redeliveries,
          },
          links: first && isPublished ? [{ context: first.spanContext() }] : [],
        },
        parent,
      );
      if (isPublished) first?.addLink({ context: span.spanContext() });
      return { context: trace.setSpan(parent, span), message: span, first };
    } catch (error) {
      process.emitWarning(`a message goes without a span: ${String(error)}`, 'BatonTracing');
      return null;
    }
  }

  private takeFirst(lock: string, token: number): TraceContext | null {
    const awaited = this.awaited.get(lock);
    if (!awaited || token <= awaited.afterToken) return null;
    this.awaited.delete(lock);
    this.worked.set(lock, token);
    return awaited.trace;
  }
}

function end({ message, first }: MessageSpans, error?: unknown): void {
  if (error !== undefined) {
    const why = error instanceof Error ? error : new Error(inspect(error));
    message.recordException(why);
    message.setStatus({ code: SpanStatusCode.ERROR, message: why.message });
  }
  message.end();
  first?.end();
}
