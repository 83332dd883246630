/** The ledger's handler, instrumented as a user would do it: it knows OpenTelemetry's API and nothing of Baton's spans. */
import { propagation, context as active, trace } from '@opentelemetry/api';
import type { Handler } from '../../src/listener/handler';
import { handle as work } from './ledger-handler';

export const handle: Handler = (message, context) =>
  trace.getTracer('shop').startActiveSpan('save order', async (span) => {
    const tenant = propagation.getBaggage(active.active())?.getEntry('tenant')?.value;
    if (tenant !== undefined) span.setAttribute('tenant', tenant);
    try {
      await work(message, context);
    } finally {
      span.end();
    }
  });
