import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { ConfigState } from './config-reload';

export interface Verdict {
  ok: boolean;
  why: string;
  /** Of `/healthz`: what came of reading the configuration last. */
  config?: ConfigState;
}
export interface LockVerdict extends Verdict {
  lock: string;
  /** Of `/holder`: the fencing token of the pod's own tenure, whatever etcd says. */
  token?: number | null;
}

/** Pages that look at every lock of the pod, or at those that are named. */
export const lockPages = {
  /** Ready to hold the lock, or holding it. */
  '/readyz': 'readiness',
  /** Once ok, ok for good. */
  '/startupz': 'startup',
  /** This pod holds the lock, before its deadline, and consumes. */
  '/holder': 'holder',
  /** Another pod or nobody holds it, and this one could take over at once. */
  '/standby': 'standby',
} as const;
export type LockCheck = (typeof lockPages)[keyof typeof lockPages];

/** What the agent says about itself. The calls answer at once and never throw on purpose. */
export interface HealthPort {
  readonly identity: { region: string; pod: string };
  /** Names of the pod's locks. */
  readonly locks: string[];
  /** Not ok only when this process should be replaced: a tenure past its deadline, or a stuck loop. */
  health(): Verdict;
  /** `lock` is one of `locks`. */
  check(what: LockCheck, lock: string): LockVerdict;
  /** Prometheus text format. */
  metrics(): Promise<string>;
}

export interface HealthAddress {
  host: string;
  /** 0 takes any free port. */
  port: number;
}

const requestLimitMs = 5_000;
const checkIntervalMs = 1_000;
const idleLimitMs = 10_000;

interface Page {
  status: number;
  type: string;
  body: string;
}

const liveness = ['/healthz', '/livez'];
const known = [...liveness, ...Object.keys(lockPages), '/metrics'].join(', ');

/**
 * Probes, load balancers' checks and metrics over plain HTTP, for the inside of the cluster. The pages about locks take
 * `?lock=NAME` (may be repeated) or `/NAME`; without one they are 200 only when that is so for every lock of the pod.
 */
export class HealthServer {
  private readonly server: Server;
  private closing: Promise<void> | undefined;

  constructor(
    private readonly address: HealthAddress,
    private readonly source: HealthPort,
    private readonly logger: Logger,
  ) {
    this.server = createServer(
      {
        maxHeaderSize: 8192,
        headersTimeout: requestLimitMs,
        requestTimeout: requestLimitMs,
        keepAliveTimeout: requestLimitMs,
        // Node looks every 30 s by itself: until then 256 slow senders would keep every probe out.
        connectionsCheckingInterval: checkIntervalMs,
      },
      (request, response) => void this.answer(request, response),
    );
    this.server.maxConnections = 256;
    // Also one that does not read its answer.
    this.server.timeout = idleLimitMs;
  }

  /** @throws Error naming the address, when it cannot be listened on. */
  async open(): Promise<HealthAddress> {
    const { host, port } = this.address;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (cause) =>
        reject(new Error(`health server cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
      );
      this.server.listen({ host, port }, resolve);
    });
    this.server.removeAllListeners('error');
    this.server.on('error', (err) => this.logger.error({ err }, 'health server failed'));
    const { address, port: bound } = this.server.address() as AddressInfo;
    this.logger.info(
      { healthHost: address, healthPort: bound },
      `health server listens on ${address}:${bound}`,
    );
    return { host: address, port: bound };
  }

  /** Idempotent. Cuts open connections: a scraper that keeps one must not delay the shutdown. */
  close(): Promise<void> {
    this.closing ??= new Promise((resolve) => {
      // The callback's error says that the server was never open, which is what was wanted.
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
    return this.closing;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { status, type, body } = await this.page(request);
      response.writeHead(status, {
        'content-type': type,
        'content-length': Buffer.byteLength(body),
        'cache-control': 'no-store',
        ...(status === 405 && { allow: 'GET, HEAD' }),
        // A body that nobody reads must not hold up the connection.
        ...(status === 405 && { connection: 'close' }),
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    } catch (err) {
      this.logger.error({ err, url: request.url }, 'health request failed');
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end('internal error\n');
    }
  }

  private async page(request: IncomingMessage): Promise<Page> {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return { status: 405, type: 'text/plain', body: 'only GET and HEAD\n' };
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    if (liveness.includes(path)) return this.verdict(this.source.health());
    if (path === '/metrics') {
      const body = await this.source.metrics();
      return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body };
    }
    const [, page, name, ...rest] = path.split('/');
    const what = lockPages[`/${page}` as keyof typeof lockPages] as LockCheck | undefined;
    if (what === undefined || !Object.hasOwn(lockPages, `/${page}`) || rest.length > 0)
      return { status: 404, type: 'text/plain', body: `there are ${known}\n` };
    const named = new URLSearchParams(query).getAll('lock');
    return this.lockPage(what, name ? [...named, name] : named);
  }

  private lockPage(what: LockCheck, named: string[]): Page {
    const { locks } = this.source;
    const unknown = named.find((name) => !locks.includes(name));
    if (unknown !== undefined) {
      const why = `this pod has no lock ${JSON.stringify(unknown)}; it has ${locks.join(', ')}`;
      return { ...this.verdict({ ok: false, why }), status: 404 };
    }
    const verdicts = (named.length > 0 ? named : locks).map((lock) => this.source.check(what, lock));
    const bad = verdicts.filter(({ ok }) => !ok);
    const shown = bad.length > 0 ? bad : verdicts;
    const why = shown.map((each) => `${each.lock}: ${each.why}`).join('; ');
    return this.verdict({ ok: bad.length === 0, why, locks: verdicts });
  }

  private verdict(answer: Verdict & { locks?: LockVerdict[] }): Page {
    const { region, pod } = this.source.identity;
    // The time lets others see how far the clocks are apart.
    const body = `${JSON.stringify({ ...answer, region, pod, at: new Date().toISOString() })}\n`;
    return { status: answer.ok ? 200 : 503, type: 'application/json', body };
  }
}
