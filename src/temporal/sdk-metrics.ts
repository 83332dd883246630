import { createServer, type AddressInfo } from 'node:net';
import type { MetricsExporterConfig } from '@temporalio/worker';

/** The SDK answers from memory, on this machine. */
const limitMs = 1_000;

let address: string | null = null;

/**
 * Has the SDK offer its own metrics on a free port of the loopback interface: its core, which has them, is no Node
 * code, and serves them itself. `sdkMetricsText` reads them from there. Once per process, as the runtime is.
 */
export async function openSdkMetrics(): Promise<MetricsExporterConfig> {
  address ??= `127.0.0.1:${await freePort()}`;
  return {
    prometheus: {
      bindAddress: address,
      // By Prometheus's conventions; without them its names carry no unit.
      countersTotalSuffix: true,
      unitSuffix: true,
      useSecondsForDurations: true,
    },
    attachServiceName: false,
  };
}

/** Prometheus text of the SDK's metrics; empty before the first connection to Temporal. Never rejects. */
export async function sdkMetricsText(): Promise<string> {
  if (address === null) return '';
  try {
    const response = await fetch(`http://${address}/metrics`, { signal: AbortSignal.timeout(limitMs) });
    return await response.text();
  } catch (error) {
    // They are about Temporal's client; a scrape without them is worth more than none.
    return `# Temporal SDK metrics: ${(error as Error).message}\n`;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen({ host: '127.0.0.1', port: 0 }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
