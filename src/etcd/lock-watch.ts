import type { IWatchRequest, IWatchResponse } from 'etcd3';
import type { LockWatch, WatchHint } from '../pod/lock-store';
import type { EtcdClient } from './etcd-client';
import type { WatchedStream } from './etcd-endpoint';
import { decodeValue, prefixEnd, revisionNumber, type LockKeys } from './lock-keys';
import { parseHolder, type Report } from './lock-view';

type Watched = WatchedStream<IWatchRequest, IWatchResponse>;

const reconnectMs = 100;

/**
 * Watches one lock's keys until closed. One stream at a time: it is dropped, and a new one opened after
 * 100 ms, when it ends, fails, is cancelled by etcd, or stays silent for `silenceMs` although asked for a
 * sign of life (a connection can die without either end being told). A new stream begins at etcd's present
 * revision: what happened in between is not repeated, the hint after the reconnect says to read.
 */
export class EtcdLockWatch implements LockWatch {
  private watched: Watched | null = null;
  private timer: NodeJS.Timeout | null = null;
  /** Counts streams: whatever a former one still delivers is not listened to. */
  private generation = 0;
  private failures = 0;
  private seen = 0;
  private signAt = 0;
  private closed = false;

  constructor(
    private readonly client: EtcdClient,
    private readonly keys: LockKeys,
    private readonly onChange: (hint: WatchHint) => void,
    private readonly report: Report,
    private readonly silenceMs: number,
  ) {
    this.connect();
  }

  /** Idempotent. `onChange` is not called any more once this has returned. */
  close(): void {
    this.closed = true;
    this.drop();
  }

  private connect(): void {
    const generation = ++this.generation;
    const current = () => !this.closed && generation === this.generation;
    // Covers all from here to the answer to the create request.
    this.signAt = performance.now();
    this.timer = setTimeout(() => this.silent(), this.silenceMs);
    Promise.resolve()
      .then(() => this.client.openWatch(this.failures))
      .then(
        (watched) => {
          const { stream } = watched;
          if (!current()) return stream.cancel();
          this.watched = watched;
          stream.on('data', (response) => {
            if (current()) this.receive(response);
          });
          stream.on('error', () => {
            if (current()) this.reconnect();
          });
          stream.on('end', () => {
            if (current()) this.reconnect();
          });
          const key = Buffer.from(this.keys.prefix);
          stream.write({ create_request: { key, range_end: prefixEnd(this.keys.prefix) } });
        },
        // Not connected: tried again for as long as the watch is open.
        () => {
          if (current()) this.reconnect();
        },
      );
  }

  private receive(response: IWatchResponse): void {
    this.signAt = performance.now();
    this.watched?.answered();
    this.awaitSign();
    if (response.canceled) return this.reconnect();
    if (response.created) {
      this.failures = 0;
      this.seen = Math.max(this.seen, revisionNumber(response.header.revision));
      return this.onChange({ revision: this.seen });
    }
    const hint = this.hintFrom(response);
    if (hint) this.onChange(hint);
  }

  private hintFrom(response: IWatchResponse): WatchHint | null {
    let revision = 0;
    let holder: WatchHint['holder'];
    let offering = false;
    for (const event of response.events) {
      const key = event.kv.key.toString();
      const at = revisionNumber(event.kv.mod_revision);
      if (at < this.seen) continue;
      if (key.startsWith(this.keys.receipts)) continue;
      this.seen = revision = at;
      if (key === this.keys.holder) holder = event.type === 'Put' ? parseHolder(event.kv, this.report) : null;
      if (key.startsWith(this.keys.candidates) && event.type === 'Put')
        offering ||= isOffering(key, event.kv.value);
    }
    if (revision === 0) return null;
    return {
      revision,
      ...(holder === undefined ? {} : { holder }),
      ...(offering ? { offering } : {}),
    };
  }

  /** After half the silence it asks etcd for a sign of life; after all of it the stream counts as dead. */
  private awaitSign(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = setTimeout(() => this.silent(), this.silenceMs / 2);
      this.watched?.stream.write({ progress_request: {} });
    }, this.silenceMs / 2);
  }

  private silent(): void {
    this.watched?.silentSince(this.signAt);
    this.reconnect();
  }

  private reconnect(): void {
    this.drop();
    if (this.closed) return;
    this.failures += 1;
    this.timer = setTimeout(() => this.connect(), reconnectMs);
  }

  private drop(): void {
    this.generation += 1;
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    this.watched?.stream.cancel();
    this.watched = null;
  }
}

function isOffering(key: string, value: Buffer): boolean {
  const decoded = decodeValue('candidate', key, value);
  return 'value' in decoded && (decoded.value.offer ?? decoded.value.preparedFor) !== undefined;
}
