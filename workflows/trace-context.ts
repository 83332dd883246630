import { isRecord } from './shape';

/**
 * A span's identity as it travels: in payloads, in etcd's values and between processes, by W3C Trace Context. Tells where
 * later spans belong, and nothing else: no decision looks at it.
 */
export interface TraceContext {
  traceparent: string;
  tracestate?: string;
}

const parentPattern = /^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/;
/** As much as everybody has to hand on. */
const stateLength = 512;
const statePattern = /^[\x20-\x7e]+$/;

/** What somebody else has written; what is not a context counts as none, as the standard has it. */
export function readTrace(value: unknown): TraceContext | undefined {
  if (!isRecord(value)) return undefined;
  const { traceparent, tracestate } = value;
  if (typeof traceparent !== 'string' || !parentPattern.test(traceparent)) return undefined;
  const isState = typeof tracestate === 'string' && tracestate.length <= stateLength;
  return { traceparent, ...(isState && statePattern.test(tracestate) && { tracestate }) };
}

export const spanIdOf = ({ traceparent }: TraceContext): string => traceparent.slice(36, 52);

/**
 * A child of `parent` whose span id follows from the `seed`: a workflow may draw no random number without changing the
 * ones that it draws later, and a replay has to name the same span.
 */
export function derivedChild({ traceparent, ...rest }: TraceContext, seed: string): TraceContext {
  let hash = 0xcbf29ce484222325n;
  for (const byte of traceparent + seed)
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte.charCodeAt(0))) * 0x100000001b3n);
  const spanId = (hash === 0n ? 1n : hash).toString(16).padStart(16, '0');
  return { ...rest, traceparent: `${traceparent.slice(0, 36)}${spanId}${traceparent.slice(52)}` };
}
