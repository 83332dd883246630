import { createServer } from 'node:net';

/**
 * Below the range from which the kernel takes ports for outgoing connections (32768 and up on Linux). A server that
 * is restarted finds its port still free then, and a client that reconnects to it meanwhile cannot be given that very
 * port and end up connected to itself.
 */
const FIRST = 15_000;
const LAST = 32_000;
const ATTEMPTS = 1_000;

/** Ports already given to somebody in this process, who may not have bound them yet. */
const given = new Set<number>();

/**
 * Ports on 127.0.0.1 that nobody listens on. Another process may take one before its user does:
 * who starts a server on them must be ready to try again with others.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let attempt = 0; ports.length < count; attempt++) {
    if (attempt === ATTEMPTS + count) {
      throw new Error(
        `found ${ports.length} of ${count} free ports in ${FIRST}-${LAST} after ${attempt} attempts`,
      );
    }
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    ports.push(port);
  }
  return ports;
}

/** Whether a server could listen on this port of 127.0.0.1 now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
