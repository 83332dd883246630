import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { createHttpServer, type ServerTls } from '../dashboard/http-server';
import { isLoopback } from '../dashboard/loopback';
import { RequestGuard, isSame } from '../dashboard/request-guard';
import { decodePayloads, encodePayloads } from './payload-json';

export interface CodecServerOptions {
  codec: PayloadCodec;
  host: string;
  /** 0 takes any free port. */
  port: number;
  /** The Temporal UI's, as `https://temporal.example.com`: pages of no other origin get an answer. */
  uiOrigin: string;
  /** Whoever sends one of these as a bearer token gets an answer. Empty: whoever reaches the port. */
  tokens: { who: string; token: string }[];
  /** Default: plain HTTP. */
  tls?: ServerTls | undefined;
}

/** A page of a history with its payloads. */
const maxBodyBytes = 8 * 1024 * 1024;
const preflightSeconds = '600';

/** A request that cannot be answered. */
class RefusedRequest extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Temporal's remote codec over HTTP: `POST /decode` and `/encode` with the payloads as JSON, for the UI (from the
 * browser) and the CLI. It shows what is encrypted to whoever may ask, and keeps and logs nothing of it.
 */
export class CodecServer {
  private readonly server: Server;
  private readonly guard: RequestGuard;

  constructor(private readonly options: CodecServerOptions) {
    this.guard = new RequestGuard({ tokens: [], loopback: isLoopback(options.host) });
    this.server = createHttpServer(options.tls, (request, response) => void this.answer(request, response));
  }

  /** @returns its address. @throws Error naming it, when it cannot be listened on. */
  async open(): Promise<string> {
    const { host, port } = this.options;
    await new Promise<void>((done, fail) => {
      this.server.once('error', (cause) =>
        fail(new Error(`the codec server cannot listen on ${host}:${port}: ${cause.message}`, { cause })),
      );
      this.server.listen({ host, port }, done);
    });
    const { address, port: bound, family } = this.server.address() as AddressInfo;
    const scheme = this.options.tls ? 'https' : 'http';
    return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${bound}`;
  }

  /** Idempotent. */
  close(): Promise<void> {
    return new Promise((done) => {
      this.server.close(() => done());
      this.server.closeAllConnections();
    });
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('cache-control', 'no-store');
    response.setHeader('x-content-type-options', 'nosniff');
    try {
      this.checkOrigin(request, response);
      if (request.method === 'OPTIONS') return void response.writeHead(204).end();
      if (request.method !== 'POST') throw new RefusedRequest(405, 'only POST /decode and POST /encode');
      this.checkToken(request);
      reply(response, 200, await this.convert(request));
    } catch (error) {
      // What was not read would be taken for the next request.
      response.setHeader('connection', 'close');
      const status = error instanceof RefusedRequest ? error.status : 422;
      reply(response, status, { message: (error as Error).message });
    }
  }

  /** A browser tells where the page that asks is from; the CLI is no page and sends none. */
  private checkOrigin(request: IncomingMessage, response: ServerResponse): void {
    const why = this.guard.whyNotServe(request);
    if (why !== null) throw new RefusedRequest(421, why);
    const { origin } = request.headers;
    if (origin === undefined) return;
    if (origin !== this.options.uiOrigin) throw new RefusedRequest(403, `asked by a page of ${origin}`);
    response.setHeader('access-control-allow-origin', origin);
    response.setHeader('access-control-allow-methods', 'POST');
    response.setHeader('access-control-allow-headers', 'content-type, x-namespace, authorization');
    response.setHeader('access-control-allow-credentials', 'true');
    response.setHeader('access-control-max-age', preflightSeconds);
    response.setHeader('vary', 'origin');
    // A browser asks before a page from the network may reach this machine.
    if (request.headers['access-control-request-private-network'] === 'true')
      response.setHeader('access-control-allow-private-network', 'true');
  }

  private checkToken({ headers }: IncomingMessage): void {
    // Only a form without this header can be sent by a page that was not asked first (CORS).
    if (!/^application\/json\b/.test(headers['content-type'] ?? ''))
      throw new RefusedRequest(415, 'the content must be application/json');
    if (this.options.tokens.length === 0) return;
    const [, given = ''] = /^Bearer (\S+)$/i.exec(headers.authorization ?? '') ?? [];
    if (!this.options.tokens.some(({ token }) => isSame(token, given)))
      throw new RefusedRequest(401, given === '' ? 'a bearer token is needed' : 'this token is not known');
  }

  private async convert(request: IncomingMessage): Promise<unknown> {
    const { codec } = this.options;
    const [path = ''] = (request.url ?? '').split('?', 1);
    const work: ((payloads: Payload[]) => Promise<Payload[]>) | null = path.endsWith('/decode')
      ? (payloads) => codec.decode(payloads)
      : path.endsWith('/encode')
        ? (payloads) => codec.encode(payloads)
        : null;
    if (!work) throw new RefusedRequest(404, 'only POST /decode and POST /encode');
    const payloads = decodePayloads(await readBody(request));
    if (!payloads) throw new RefusedRequest(400, 'the body must be JSON: {"payloads": […]}');
    return encodePayloads(await work(payloads));
  }
}

function reply(response: ServerResponse, status: number, content: unknown): void {
  const body = JSON.stringify(content);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > maxBodyBytes) throw new RefusedRequest(413, `the body is longer than ${maxBodyBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
