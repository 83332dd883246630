import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { noop } from 'cockatiel';
import {
  type ILeaseGrantResponse,
  type ILeaseKeepAliveRequest,
  type ILeaseKeepAliveResponse,
  type IOptions,
  type IRangeRequest,
  type IRangeResponse,
  type ITxnRequest,
  type ITxnResponse,
  type IWatchRequest,
  type IWatchResponse,
} from 'etcd3';
import { AccessError, LostError, RefusedError, UnknownOutcomeError } from '../../activities/errors';
import type { EtcdAddress } from '../config/config';
import { CredentialFiles } from '../config/credential-files';
import { currentSecret } from '../config/secret-file';
import {
  EtcdEndpoint,
  type ConnectionPlan,
  type Endpoint,
  type EndpointFailure,
  type WatchedStream,
} from './etcd-endpoint';

export interface EtcdClientOptions {
  /** Milliseconds. Bound on every request, all of its attempts together. Default 1,000. */
  requestTimeoutMs?: number;
  /** Reaches one member. Default: an `EtcdEndpoint`, over gRPC. */
  connect?: (name: string) => Endpoint;
}

/** Shared by all endpoints of a client; each retry of a request waits this long once every endpoint was tried. */
const retryPauseMs = 50;
/** A second bound beside the time: no request is sent more often than this. */
const maxAttempts = 40;
/** Within one request. More than one only where etcd's tokens run out faster than it answers. */
const maxLogins = 3;
/** etcd hashes the password on purpose slowly: on a busy machine, longer than a request may take. Requests join it. */
const minLoginMs = 5_000;

/**
 * Requests to an etcd cluster, one endpoint at a time: the one that answered last is asked again, one that
 * did not is left for the next. A request is sent a second time only if it is safe to repeat or was certainly
 * not sent. Every method ends within `requestTimeoutMs` and throws
 * - `UnknownOutcomeError` when no definite answer came: it may have been applied, or be applied later;
 * - `LostError` when etcd says that a lease in it is gone (nothing was applied);
 * - `AccessError` for a wrong password, a missing permission, or a certificate that one side does not accept (nothing
 *   was applied);
 * - `RefusedError` for every other definite refusal (nothing was applied).
 */
export class EtcdClient {
  readonly requestTimeoutMs: number;
  private readonly endpoints: Endpoint[];
  private preferred = 0;
  private closed = false;

  constructor(
    readonly address: EtcdAddress,
    options: EtcdClientOptions = {},
  ) {
    this.requestTimeoutMs = options.requestTimeoutMs ?? 1_000;
    if (address.endpoints.length === 0) throw new RefusedError('no etcd endpoint is configured');
    const connect = options.connect ?? overGrpc(address, this.requestTimeoutMs);
    this.endpoints = address.endpoints.map(connect);
  }

  /** `safe`: the transaction may be repeated, as a read-only one may. */
  txn(what: string, request: ITxnRequest, safe = false): Promise<ITxnResponse> {
    return this.call(what, safe, (endpoint, timeoutMs) =>
      endpoint.unary<ITxnResponse>('KV', 'txn', request, timeoutMs),
    );
  }

  range(what: string, request: IRangeRequest): Promise<IRangeResponse> {
    return this.call(what, true, (endpoint, timeoutMs) =>
      endpoint.unary<IRangeResponse>('KV', 'range', request, timeoutMs),
    );
  }

  /** A grant whose answer is lost leaves a lease without keys, which runs out by itself: safe to repeat. */
  async grantLease(ttlMs: number): Promise<{ leaseId: string; ttlMs: number }> {
    const request = { TTL: Math.ceil(ttlMs / 1_000), ID: 0 };
    const granted = await this.call('grant a lease', true, (endpoint, timeoutMs) =>
      endpoint.unary<ILeaseGrantResponse>('Lease', 'leaseGrant', request, timeoutMs),
    );
    return { leaseId: granted.ID, ttlMs: Number(granted.TTL) * 1_000 };
  }

  /** A lease under an id of the caller's choice; one that is there already stays as it is. Safe to repeat. */
  async grantLeaseOnce(leaseId: string, ttlMs: number): Promise<void> {
    const request = { TTL: Math.ceil(ttlMs / 1_000), ID: leaseId };
    try {
      await this.call(`grant lease ${leaseId}`, true, (endpoint, timeoutMs) =>
        endpoint.unary('Lease', 'leaseGrant', request, timeoutMs),
      );
    } catch (error) {
      if (!(error instanceof RefusedError && error.message.includes('lease already exists'))) throw error;
    }
  }

  async revokeLease(leaseId: string): Promise<void> {
    try {
      await this.call(`revoke lease ${leaseId}`, true, (endpoint, timeoutMs) =>
        endpoint.unary('Lease', 'leaseRevoke', { ID: leaseId }, timeoutMs),
      );
    } catch (error) {
      // Gone already, be it by an earlier attempt: what was asked for is the case.
      if (!(error instanceof LostError)) throw error;
    }
  }

  /**
   * One extension over a stream of its own, so that a late answer has nobody left to reach. Repeating it only
   * extends the lease later than the caller counts from.
   */
  async keepAlive(leaseId: string): Promise<ILeaseKeepAliveResponse> {
    const what = `extend lease ${leaseId}`;
    const answer = await this.call(what, true, (endpoint, timeoutMs) =>
      endpoint.exchange<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>(
        'Lease',
        'leaseKeepAlive',
        { ID: leaseId },
        timeoutMs,
      ),
    );
    if (Number(answer.TTL) <= 0) throw new LostError(`lease ${leaseId} is gone`);
    return answer;
  }

  /**
   * A watch stream to the preferred endpoint, or after `failures` to one of the others in turn. Neither the
   * promise nor the stream has a time limit: the caller must have one.
   */
  openWatch(failures: number): Promise<WatchedStream<IWatchRequest, IWatchResponse>> {
    if (this.closed) throw closedError('watch');
    const index = (this.preferred + failures) % this.endpoints.length;
    return this.endpoint(index).watch();
  }

  /** Idempotent. Requests under way end within their time limit. */
  close(): void {
    this.closed = true;
    for (const endpoint of this.endpoints) endpoint.close();
  }

  private async call<T>(
    what: string,
    safe: boolean,
    send: (endpoint: Endpoint, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const began = performance.now();
    const failures = new Map<string, EndpointFailure>();
    let logins = 0;
    for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
      if (this.closed) throw closedError(what);
      const leftMs = began + this.requestTimeoutMs - performance.now();
      if (leftMs <= 0) break;
      const index = this.preferred;
      const endpoint = this.endpoint(index);
      // A safe request keeps half of what is left for the endpoints that were not asked yet.
      const timeoutMs = safe && attempt < this.endpoints.length ? leftMs / 2 : leftMs;
      try {
        return await send(endpoint, timeoutMs);
      } catch (error) {
        const failure = error as EndpointFailure;
        failures.set(endpoint.name, failure);
        const sentence = `etcd at ${endpoint.name} refused to ${what}: ${failure.message}`;
        const as = this.address.username === undefined ? 'without a user name' : 'as the configured user';
        if (failure.kind === 'denied') throw new AccessError(`${sentence} (${as})`, failure);
        if (failure.kind === 'lease-gone') throw new LostError(sentence, failure);
        if (failure.kind === 'refused') throw new RefusedError(sentence, failure);
        if (failure.kind === 'token-expired') {
          // The endpoint has forgotten it, and logs in again.
          logins += 1;
          if (logins > maxLogins || this.address.username === undefined)
            throw new AccessError(`${sentence} (${as})`, failure);
          continue;
        }
        if (this.preferred === index) this.preferred = (index + 1) % this.endpoints.length;
        if (failure.kind === 'no-answer' && !safe) break;
        if (this.isUntrusted(failures)) break;
        if (attempt >= this.endpoints.length) await sleep(retryPauseMs);
      }
    }
    const waitedMs = Math.round(performance.now() - began);
    const tried = [...failures.values()].map((f) => `${f.endpoint}: ${f.message}`).join('; ');
    const last = [...failures.values()].at(-1);
    if (this.isUntrusted(failures)) throw new AccessError(`no secure connection to etcd (${tried})`, last);
    throw new UnknownOutcomeError(
      `etcd gave no answer within ${waitedMs} ms when asked to ${what} (${tried || 'no attempt was made'})`,
      last,
    );
  }

  /** By every endpoint's last word. */
  private isUntrusted(failures: ReadonlyMap<string, EndpointFailure>): boolean {
    const kinds = [...failures.values()].map(({ kind }) => kind);
    return kinds.length === this.endpoints.length && kinds.every((kind) => kind === 'untrusted');
  }

  private endpoint(index: number): Endpoint {
    const endpoint = this.endpoints[index];
    if (!endpoint) throw new RangeError(`no etcd endpoint ${index} of ${this.endpoints.length}`);
    return endpoint;
  }
}

function closedError(what: string): RefusedError {
  return new RefusedError(`the etcd client is closed; it was asked to ${what}`);
}

function overGrpc(address: EtcdAddress, requestTimeoutMs: number): (name: string) => Endpoint {
  const { username, password, passwordFile, certFile, caFile } = address;
  const plan: ConnectionPlan = {
    options: () => connectionOptions(address, requestTimeoutMs),
    files: () => ((caFile ?? certFile) === undefined ? null : new CredentialFiles(address)),
  };
  const user =
    username === undefined || password === undefined
      ? null
      : {
          username,
          password: () => currentSecret(passwordFile, password),
          timeoutMs: Math.max(requestTimeoutMs, minLoginMs),
        };
  return (name) => new EtcdEndpoint(name, plan, user);
}

/** What every connection to etcd has in common, but the login. */
export function connectionOptions(address: EtcdAddress, requestTimeoutMs: number): Omit<IOptions, 'hosts'> {
  const { caFile, certFile, keyFile } = address;
  const pem = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file));
  return {
    ...(caFile !== undefined || certFile !== undefined || keyFile !== undefined
      ? {
          // etcd3 wants a root certificate; undefined means the system's own, which gRPC takes as well.
          credentials: {
            rootCertificate: pem(caFile),
            privateKey: pem(keyFile),
            certChain: pem(certFile),
          } as NonNullable<IOptions['credentials']>,
        }
      : {}),
    // etcd3's own retries and circuit breakers turn a stall of 1.5 s into 6.5 s of refusals.
    faultHandling: { host: () => noop, global: noop },
    defaultCallOptions: (call) => (call.isStream ? {} : { deadline: Date.now() + requestTimeoutMs }),
    grpcOptions: {
      // gRPC's defaults wait up to two minutes before an etcd that came back is tried again.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
      'grpc.dns_min_time_between_resolutions_ms': 1_000,
      // etcd ends connections that are pinged more often than every 5 s.
      'grpc.keepalive_time_ms': 6_000,
      'grpc.keepalive_timeout_ms': 1_500,
      // A shared connection would survive the reset of the channel that found it dead.
      'grpc.use_local_subchannel_pool': 1,
    },
  };
}
