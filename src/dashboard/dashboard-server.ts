import { type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isExpected } from '../client/expected-error';
import { BadRequestError, type DashboardActions } from './dashboard-actions';
import type { DashboardFeed } from './dashboard-feed';
import { createHttpServer, type ServerTls } from './http-server';
import { streamEvents } from './event-stream';
import { readPageFiles } from './page-files';
import type { RequestGuard } from './request-guard';

export interface DashboardServerOptions {
  host: string;
  /** 0 takes any free port. */
  port: number;
  feed: DashboardFeed;
  actions: DashboardActions;
  guard: RequestGuard;
  /** Default: plain HTTP. */
  tls?: ServerTls | undefined;
}

const maxBodyBytes = 16_384;
const maxViewers = 200;

/** Only this server's own files and data, in nobody's frame. uPlot sets styles from its code, which this allows. */
const headers = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};

/** The dashboard over HTTP: page, live data, and actions for those who may. */
export class DashboardServer {
  private readonly files = readPageFiles();
  private readonly server: Server;
  private viewers = 0;
  private closing: Promise<void> | undefined;

  constructor(private readonly options: DashboardServerOptions) {
    this.server = createHttpServer(options.tls, (request, response) => void this.answer(request, response));
  }

  /** @returns its address. @throws Error naming it, when it cannot be listened on. */
  async open(): Promise<string> {
    const { host, port } = this.options;
    await new Promise<void>((done, fail) => {
      this.server.once('error', (cause) =>
        fail(new Error(`the dashboard cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
      );
      this.server.listen({ host, port }, done);
    });
    const { address, port: bound, family } = this.server.address() as AddressInfo;
    const name = address === '0.0.0.0' || address === '::' ? 'localhost' : address;
    const scheme = this.options.tls ? 'https' : 'http';
    return `${scheme}://${family === 'IPv6' && name === address ? `[${name}]` : name}:${bound}`;
  }

  /** Idempotent. Cuts the viewers' streams; their pages say so, and come back by themselves. */
  close(): Promise<void> {
    this.closing ??= new Promise((done) => {
      this.server.close(() => done());
      this.server.closeAllConnections();
    });
    return this.closing;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      const why = this.options.guard.whyNotServe(request);
      if (why !== null) return reply(response, 421, { why });
      const [path = '/'] = (request.url ?? '/').split('?', 1);
      if (request.method === 'POST') return await this.act(path, request, response);
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('allow', 'GET, HEAD, POST');
        return reply(response, 405, { why: 'only GET, HEAD and POST' });
      }
      this.show(path, request, response);
    } catch (error) {
      if (response.headersSent) return void response.destroy();
      // The rest of its body is not read.
      response.setHeader('connection', 'close');
      reply(response, statusOf(error), { why: (error as Error).message });
    }
  }

  private show(path: string, request: IncomingMessage, response: ServerResponse): void {
    const { feed, guard } = this.options;
    if (path === '/api/locks') return reply(response, 200, feed.snapshot(guard.actions));
    if (path === '/api/events') return this.stream(response);
    const file = this.files.get(path);
    if (!file) return reply(response, 404, { why: `there is nothing at ${path.slice(0, 100)}` });
    const { type, body, etag } = file;
    response.setHeader('etag', etag);
    response.setHeader('cache-control', 'no-cache');
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304).end();
      return;
    }
    response.writeHead(200, { 'content-type': type, 'content-length': body.length });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  private stream(response: ServerResponse): void {
    if (this.viewers >= maxViewers) return reply(response, 503, { why: `${maxViewers} are looking already` });
    this.viewers += 1;
    response.on('close', () => (this.viewers -= 1));
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // nginx would hold the events back.
      'x-accel-buffering': 'no',
    });
    streamEvents(response, this.options.feed, this.options.guard.actions);
  }

  private async act(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { guard, actions } = this.options;
    const verdict = guard.check(request);
    if (!('who' in verdict)) {
      // Its body is not read.
      response.setHeader('connection', 'close');
      return reply(response, verdict.status, { why: verdict.why });
    }
    const body = await readBody(request);
    switch (path) {
      case '/api/session':
        return reply(response, 200, { who: verdict.who });
      case '/api/preflight':
        return reply(response, 200, await actions.preflight(body));
      case '/api/actions':
        return reply(response, 202, actions.begin(verdict.who, body));
      default:
        return reply(response, 404, { why: `there is nothing at ${path.slice(0, 100)}` });
    }
  }
}

function statusOf(error: unknown): number {
  if (error instanceof BadRequestError) return 400;
  // A server behind this one did not answer, or turned it down.
  return isExpected(error) ? 502 : 500;
}

function reply(response: ServerResponse, status: number, content: unknown): void {
  const body = JSON.stringify(content);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let bytes = 0;
  // Left open, so that the answer reaches whoever sent too much.
  for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > maxBodyBytes) throw new BadRequestError(`the body is longer than ${maxBodyBytes} bytes`);
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    throw new BadRequestError('the body is not JSON');
  }
}
