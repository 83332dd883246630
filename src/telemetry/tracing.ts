import type { TraceContext } from '../../workflows/trace-context';
import type { Config } from '../config/config';

export type Attributes = Record<string, string | number | boolean | undefined>;

export interface SpanOptions {
  /** `active`: the span that the caller's own program is in, else the variable TRACEPARENT. Default: a new trace. */
  parent?: TraceContext | 'active' | undefined;
  kind?: 'client' | 'server';
  attributes?: Attributes;
  /** ms since 1970. Default: now. */
  startedAt?: number;
  /** The span's own identity, where it had to be known before. */
  identity?: TraceContext;
}

export interface SpanHandle {
  /** For those who carry on; `undefined` without tracing. */
  readonly context: TraceContext | undefined;
  set(attributes: Attributes): void;
  event(name: string, at: number): void;
  fail(why: string): void;
  /** Idempotent. `at`: ms since 1970; default: now. */
  end(at?: number): void;
}

/**
 * Spans, or nothing at all. No method throws, waits for a server, or changes what the work does: what cannot be exported
 * is dropped.
 */
export interface Tracing {
  readonly isOn: boolean;
  /** The caller ends the span. */
  begin(name: string, options?: SpanOptions): SpanHandle;
  /** Ends with the work, as failed when that throws. */
  span<T>(name: string, options: SpanOptions, work: (span: SpanHandle) => Promise<T>): Promise<T>;
  /** Exports what has ended, for at most so many ms. */
  flush(limitMs: number): Promise<void>;
}

const noSpan: SpanHandle = { context: undefined, set() {}, event() {}, fail() {}, end() {} };

export const noTracing: Tracing = {
  isOn: false,
  begin: () => noSpan,
  span: (_name, _options, work) => work(noSpan),
  flush: () => Promise.resolve(),
};

let opened: Tracing | null = null;

/**
 * One for the whole process, whoever asks first: `instance` (the pod) becomes its service.instance.id. OpenTelemetry is
 * loaded only where the configuration says `telemetry.tracing: on`.
 */
export function openTracing({ telemetry }: Pick<Config, 'telemetry'>, instance?: string): Tracing {
  if (telemetry?.tracing !== true || process.env.OTEL_SDK_DISABLED?.toLowerCase() === 'true')
    return noTracing;
  opened ??= load().openOtel(instance);
  return opened;
}

/** Synchronous, as the agent is put together in one go. */
const load = (): typeof import('./otel-tracing') =>
  require('./otel-tracing') as typeof import('./otel-tracing');
