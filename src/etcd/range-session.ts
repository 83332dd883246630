import { readFileSync } from 'node:fs';
import { connect, type ClientHttp2Session } from 'node:http2';
import { parse } from 'protobufjs';
import type { EtcdAddress } from '../config/config';
import { revisionNumber } from './lock-keys';

/** Of etcd's messages (`rpc.proto`, `kv.proto`), the fields that are used here. */
const messages = parse(`
  syntax = "proto3";
  message RangeRequest { bytes key = 1; bool keys_only = 8; }
  message KeyValue { int64 mod_revision = 3; int64 lease = 6; }
  message ResponseHeader { int64 revision = 3; }
  message RangeResponse { ResponseHeader header = 1; repeated KeyValue kvs = 2; }
`).root;
const requestType = messages.lookupType('RangeRequest');
const responseType = messages.lookupType('RangeResponse');

/** gRPC puts before each message whether it is compressed, and its length. */
const frameHeaderBytes = 5;
const retryPauseMs = 500;

export interface KeyOwner {
  modRevision: number;
  /** `0`: none. */
  lease: string;
}

/** Who owned the key (`null`: there was none) at this revision of etcd. */
export interface KeyReading {
  revision: number;
  owner: KeyOwner | null;
}

/**
 * Reads of single keys, each one a request of Node's own HTTP/2 client. Etcd's client for Node, with gRPC below it,
 * takes 1.6 times the processor time for the same question (docs/decisions.md, 24). It knows no logins, keeps to
 * one endpoint while that answers, and answers `undefined` to everything that is not a plain success: then the caller
 * asks through `EtcdClient`.
 */
export class RangeSession {
  private session: ClientHttp2Session | null = null;
  private index = 0;
  private retryAt = 0;
  private closed = false;
  private readonly tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } | null;

  /** `limitMs`: for one read. The first read that takes longer ends the session, and with it all others on it. */
  constructor(
    private readonly address: EtcdAddress,
    private readonly limitMs: number,
  ) {
    const { caFile, certFile, keyFile } = address;
    const files = Object.entries({ ca: caFile, cert: certFile, key: keyFile });
    const given = files.flatMap(([name, file]) => (file === undefined ? [] : [[name, readFileSync(file)]]));
    this.tls = given.length > 0 ? Object.fromEntries(given) : null;
  }

  /** A request for `read`, made once and sent often. */
  static request(key: Buffer): Buffer {
    const message = requestType.encode({ key, keysOnly: true }).finish();
    const frame = Buffer.alloc(frameHeaderBytes + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, frameHeaderBytes);
    return frame;
  }

  /**
   * Who owned the key at some moment between call and answer (a linearizable read); `undefined`: no answer this way.
   * Never rejects.
   */
  async read(request: Buffer): Promise<KeyReading | undefined> {
    const session = this.open();
    if (!session) return undefined;
    try {
      return readingIn(await this.ask(session, request));
    } catch {
      this.retire(session);
      return undefined;
    }
  }

  /** Idempotent. */
  close(): void {
    this.closed = true;
    this.session?.destroy();
  }

  private open(): ClientHttp2Session | null {
    if (this.session && !this.session.closed && !this.session.destroyed) return this.session;
    if (this.closed || performance.now() < this.retryAt) return null;
    const name = this.address.endpoints[this.index % this.address.endpoints.length] ?? '';
    const authority = /^https?:/.test(name) ? name : `http://${name}`;
    const session = connect(authority, this.tls ?? {});
    // It is for reads only; nothing lives on for its sake.
    session.unref();
    session.on('error', () => this.retire(session));
    session.on('close', () => this.retire(session));
    this.session = session;
    return session;
  }

  /** Ends the session; the next one is with the next endpoint. */
  private retire(session: ClientHttp2Session): void {
    session.destroy();
    if (this.session !== session) return;
    this.session = null;
    this.index += 1;
    this.retryAt = performance.now() + retryPauseMs;
  }

  private ask(session: ClientHttp2Session, request: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/etcdserverpb.KV/Range',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const timer = setTimeout(() => reject(new Error(`no answer after ${this.limitMs} ms`)), this.limitMs);
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('trailers', (trailers) => {
        if (trailers['grpc-status'] === '0')
          resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
      });
      stream.on('error', reject);
      // After an answer in full, this changes nothing any more.
      stream.on('close', () => {
        clearTimeout(timer);
        reject(new Error('the stream ended without an answer'));
      });
      stream.end(request);
    });
  }
}

interface Answer {
  header?: { revision: string };
  kvs: { modRevision: string; lease?: string }[];
}

/** Throws for everything that is not one whole, uncompressed answer of etcd. */
function readingIn(frame: Buffer): KeyReading {
  const message = frame.subarray(frameHeaderBytes);
  if (frame[0] !== 0 || frame.readUInt32BE(1) !== message.length) throw new Error('not one gRPC message');
  const decoded = responseType.decode(message);
  const { header, kvs } = responseType.toObject(decoded, { longs: String, arrays: true }) as Answer;
  // Without it, an empty message would read as "nobody".
  if (header?.revision === undefined) throw new Error('not an answer of etcd');
  const kv = kvs[0];
  return {
    revision: revisionNumber(header.revision),
    owner: kv ? { modRevision: revisionNumber(kv.modRevision), lease: kv.lease ?? '0' } : null,
  };
}
