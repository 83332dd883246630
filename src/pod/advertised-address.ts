import { networkInterfaces } from 'node:os';
import type { HealthAddress } from './health-server';

const anyAddress = ['0.0.0.0', '::'];

/**
 * `host:port` at which other machines reach what listens here. Of a pod that listens on every address, the first one
 * that is not the loopback's; an IPv4 one where there is one.
 */
export function advertisedAddress({ host, port }: HealthAddress): string {
  return `${bracketed(anyAddress.includes(host) ? firstAddress() : host)}:${port}`;
}

function firstAddress(): string {
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'));
  const best = outside.find(({ family }) => family === 'IPv4') ?? outside[0];
  return best?.address ?? '127.0.0.1';
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);
