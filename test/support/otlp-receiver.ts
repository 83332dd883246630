import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { parse } from 'protobufjs';

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
/** Hexadecimal in JSON. */
type Id = string | Buffer;
interface OtlpSpan {
  name: string;
  traceId: Id;
  spanId: Id;
  parentSpanId?: Id;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: Attributes;
  links?: { spanId: Id }[];
  events?: { name: string }[];
  status?: { code?: number };
}
interface OtlpRequest {
  resourceSpans: { resource: { attributes: Attributes }; scopeSpans: { spans: OtlpSpan[] }[] }[];
}

/** What is read here of OTLP 1.x: opentelemetry.io/docs/specs/otlp. */
const exportRequest = parse(`syntax = "proto3";
  message Request { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message ScopeSpans { repeated Span spans = 2; }
  message Span {
    bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5; int32 kind = 6;
    fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
    repeated KeyValue attributes = 9; repeated Event events = 11; repeated Link links = 13; Status status = 15;
  }
  message Event { string name = 2; }
  message Link { bytes span_id = 2; }
  message Status { int32 code = 3; }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; } }
`).root.lookupType('Request');

const hex = (id: Id): string => (typeof id === 'string' ? id : id.toString('hex'));

const plain = (attributes: Attributes = []): Record<string, Plain> =>
  Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.boolValue]),
  );

/** A collector's OTLP/HTTP endpoint, for JSON and protobuf, on 127.0.0.1. */
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
    const isJson = contentType === 'application/json';
    this.decode(
      (isJson
        ? JSON.parse(body.toString())
        : exportRequest.toObject(exportRequest.decode(body), {
            longs: Number,
            bytes: Buffer,
          })) as OtlpRequest,
    );
    response.setHeader('content-type', contentType).end(isJson ? '{}' : '');
  }

  private decode({ resourceSpans }: OtlpRequest): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const of = plain(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans }) => spans))
        this.spans.push({
          service: String(of['service.name']),
          instance: String(of['service.instance.id'] ?? ''),
          name: span.name,
          traceId: hex(span.traceId),
          spanId: hex(span.spanId),
          parentSpanId: hex(span.parentSpanId ?? ''),
          kind: span.kind,
          startMs: Number(span.startTimeUnixNano) / 1e6,
          endMs: Number(span.endTimeUnixNano) / 1e6,
          attributes: plain(span.attributes),
          links: (span.links ?? []).map(({ spanId }) => hex(spanId)),
          events: (span.events ?? []).map(({ name }) => name),
          failed: span.status?.code === 2,
        });
    }
  }
}
