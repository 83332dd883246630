import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

type Plain = string | number | boolean | undefined;

export interface ReceivedSpan {
  service: string;
  /** service.instance.id: the pod, or nothing. */
  instance: string;
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  /** OTLP's number: 1 internal, 2 server, 3 client, 5 consumer. */
  kind: number;
  startMs: number;
  endMs: number;
  attributes: Record<string, Plain>;
  links: string[];
  events: string[];
  failed: boolean;
}

interface Value {
  stringValue?: string;
  intValue?: string | number;
  boolValue?: boolean;
}
type Attributes = { key: string; value: Value }[];
interface OtlpSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: Attributes;
  links?: { spanId: string }[];
  events?: { name: string }[];
  status?: { code?: number };
}
interface OtlpRequest {
  resourceSpans: { resource: { attributes: Attributes }; scopeSpans: { spans: OtlpSpan[] }[] }[];
}

const plain = (attributes: Attributes = []): Record<string, Plain> =>
  Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.boolValue]),
  );

/** A collector's OTLP/HTTP endpoint for JSON, on 127.0.0.1. What comes in another encoding is kept as it is. */
export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  readonly raw: { path: string; contentType: string; body: Buffer }[] = [];
  /** Takes connections and requests, and never answers: as a collector that has gone wrong. */
  isSilent = false;

  private constructor(private readonly server: Server) {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => this.take(request, Buffer.concat(chunks), response));
    });
  }

  static async open(): Promise<OtlpReceiver> {
    const server = createServer();
    const receiver = new OtlpReceiver(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  named(name: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  private take({ url = '', headers }: IncomingMessage, sent: Buffer, response: ServerResponse): void {
    if (this.isSilent) return;
    const body = headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    const contentType = headers['content-type'] ?? '';
    this.raw.push({ path: url, contentType, body });
    if (contentType === 'application/json') this.decode(JSON.parse(body.toString()) as OtlpRequest);
    response.setHeader('content-type', contentType).end(contentType === 'application/json' ? '{}' : '');
  }

  private decode({ resourceSpans }: OtlpRequest): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const of = plain(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans }) => spans))
        this.spans.push({
          service: String(of['service.name']),
          instance: String(of['service.instance.id'] ?? ''),
          name: span.name,
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId ?? '',
          kind: span.kind,
          startMs: Number(span.startTimeUnixNano) / 1e6,
          endMs: Number(span.endTimeUnixNano) / 1e6,
          attributes: plain(span.attributes),
          links: (span.links ?? []).map(({ spanId }) => spanId),
          events: (span.events ?? []).map(({ name }) => name),
          failed: span.status?.code === 2,
        });
    }
  }
}
