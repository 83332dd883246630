import { Etcd3, type IDuplexStream, type IOptions } from 'etcd3';
import type { CredentialFiles } from '../config/credential-files';
import { tlsSentence } from '../config/tls-check';

/**
 * What a failed attempt means:
 * - `not-sent`: it certainly did not reach etcd, so it may be sent again, to whomever;
 * - `no-answer`: it may have been applied or be applied later;
 * - `untrusted`: neither, because one side does not accept the other's certificate;
 * - `lease-gone`, `token-expired`, `denied`, `refused`: etcd answered, and nothing was applied; `denied` is about the
 *   login or its permissions.
 */
export type FailureKind =
  'not-sent' | 'no-answer' | 'untrusted' | 'lease-gone' | 'token-expired' | 'denied' | 'refused';

const unanswered: readonly FailureKind[] = ['not-sent', 'no-answer', 'untrusted'];

export class EndpointFailure extends Error {
  constructor(
    readonly kind: FailureKind,
    readonly endpoint: string,
    message: string,
    cause?: unknown,
  ) {
    super(message, { cause });
    this.name = 'EndpointFailure';
  }
}

/** How a grpc-js client looks from here: its methods are made at run time, from etcd's proto file. */
interface Call {
  cancel(): void;
}
type Callback<T> = (error: Error | null, answer?: T) => void;
type UnaryMethod<T> = (
  payload: unknown,
  metadata: unknown,
  options: { deadline: number },
  done: Callback<T>,
) => Call;
type StreamMethod<Q, A> = (metadata: unknown, options: { deadline?: number }) => IDuplexStream<Q, A>;

export type Service = 'KV' | 'Lease' | 'Watch' | 'Auth';

/** What `withConnection` hands out; only this much of gRPC's class is used. */
interface Metadata {
  clone(): Metadata;
  set(key: string, value: string): void;
}

/** Reaches etcd3's connection pool, and passes failures as values: the pool closes all of a host's channels for each one it sees. */
class Connection extends Etcd3 {
  unary<T>(
    service: Service,
    method: string,
    payload: unknown,
    deadline: number,
    token: string | null,
    wanted: () => boolean,
    sent: (call: Call) => void,
  ): Promise<{ error: unknown } | { answer: T } | 'unwanted'> {
    return this.pool.withConnection(
      service,
      ({ client, metadata }) =>
        new Promise<{ error: unknown } | { answer: T } | 'unwanted'>((resolve) => {
          if (!wanted()) return resolve('unwanted');
          const stub = client as unknown as Record<string, UnaryMethod<T>>;
          const done: Callback<T> = (error, answer) => resolve(error ? { error } : { answer: answer as T });
          sent(stub[method]!(payload, withToken(metadata, token), { deadline }, done));
        }),
    );
  }

  stream<Q, A>(
    service: Service,
    method: string,
    token: string | null,
    deadline?: number,
  ): Promise<IDuplexStream<Q, A>> {
    return this.pool.withConnection(service, ({ client, metadata }) => {
      const stub = client as unknown as Record<string, StreamMethod<Q, A>>;
      const own = withToken(metadata, token);
      // A member that lost its leader ends the stream instead of going on with what it last knew.
      own.set('hasleader', 'true');
      const stream = stub[method]!(own, deadline === undefined ? {} : { deadline });
      // An 'error' without a listener would end the process; who uses the stream adds its own.
      stream.on('error', () => undefined);
      return stream;
    });
  }
}

function withToken(metadata: Metadata, token: string | null): Metadata {
  const own = metadata.clone();
  if (token !== null) own.set('token', token);
  return own;
}

const deniedPauseMs = 1_000;

/**
 * One login for all requests of an endpoint. etcd3's own keeps a connection open for each login, which etcd asks for
 * anew whenever a token has run out, and a watch would go on with the token that it began with.
 */
class Login {
  private token: Promise<string | null> | null = null;

  constructor(private readonly ask: () => Promise<string | null>) {}

  /** `null` where etcd wants none. Throws as a request does. */
  current(): Promise<string | null> {
    if (this.token) return this.token;
    const token = this.ask();
    this.token = token;
    // A wrong password costs etcd as much as a right one; all who ask within the pause are told the same.
    token.catch((error: EndpointFailure) => {
      if (error.kind === 'denied') setTimeout(() => this.drop(token), deniedPauseMs).unref();
      else this.drop(token);
    });
    return token;
  }

  /** Of many requests that were refused with the same token, the first one has the next one fetched. */
  async forget(refused: string | null): Promise<void> {
    const { token } = this;
    if (token && (await token.catch(() => null)) === refused) this.drop(token);
  }

  private drop(token: Promise<string | null>): void {
    if (this.token === token) this.token = null;
  }
}

/** The timer beside gRPC's deadline, which counts from the wall clock and does not cover the login. */
const lateMs = 50;
const minSilenceMs = 200;
const maxRenewalPauseMs = 4_000;

/** How every connection of an endpoint is made; `files`: of what `options` reads anew at each call. */
export interface ConnectionPlan {
  options: () => Omit<IOptions, 'hosts'>;
  files: () => CredentialFiles | null;
}

const trialLimitMs = 2_000;

/** A connection that is made anew when it has stopped answering, and when its certificate was replaced. */
class Line {
  private connection: Connection;
  private readonly files: CredentialFiles | null;
  private answeredAt = 0;
  private renewedAt = -Infinity;
  private pauseMs = 0;
  private closed = false;

  constructor(
    private readonly host: string,
    private readonly plan: ConnectionPlan,
  ) {
    this.files = plan.files();
    this.connection = this.make();
  }

  get current(): Connection {
    const state = this.files?.replaced() ?? null;
    if (state !== null) void this.tryNew(state);
    return this.connection;
  }

  private make(): Connection {
    return new Connection({ ...this.plan.options(), hosts: this.host });
  }

  /** What works is given up only for what works as well: a wrong certificate on the disk must not cost anybody the lock. */
  private async tryNew(state: string): Promise<void> {
    const next = this.make();
    const deadline = Date.now() + trialLimitMs;
    const question = { key: Buffer.from('/baton/'), limit: 1 };
    const always = (): boolean => true;
    const result = await next
      .unary('KV', 'range', question, deadline, null, always, () => undefined)
      .catch((error: unknown) => ({ error }));
    // Without a login it may be refused, and has been answered all the same.
    const failure =
      typeof result === 'object' && 'error' in result ? explain(result.error, true, this.host) : null;
    if (this.closed || (failure && unanswered.includes(failure[0]))) {
      this.files?.refuse();
      return next.close();
    }
    this.files?.accept(state);
    const old = this.connection;
    this.connection = next;
    old.close();
  }

  answered(): void {
    this.answeredAt = performance.now();
    this.pauseMs = 0;
  }

  /**
   * A connection that a firewall or a dead machine left open swallows requests for minutes. If nothing at all
   * came over it since `since`, make a new one; more and more seldom, as each holds a socket. (What fails at
   * once was told so, and gRPC reconnects by itself.)
   */
  silentSince(since: number): void {
    const now = performance.now();
    if (this.answeredAt >= since || this.renewedAt >= since || now - since < minSilenceMs) return;
    if (now - this.renewedAt < this.pauseMs) return;
    this.pauseMs = Math.min(maxRenewalPauseMs, Math.max(1_000, this.pauseMs * 2));
    this.renew();
  }

  /** Requests already under way go on over the old one. */
  renew(): void {
    const old = this.connection;
    this.connection = this.make();
    this.renewedAt = performance.now();
    old.close();
  }

  close(): void {
    this.closed = true;
    this.connection.close();
  }
}

/** A stream whose user says when it was heard of last. */
export interface WatchedStream<Q, A> {
  stream: IDuplexStream<Q, A>;
  answered(): void;
  silentSince(since: number): void;
}

/** What `EtcdClient` needs of one member. Every method but `watch` is bounded in time and throws only `EndpointFailure`. */
export interface Endpoint {
  readonly name: string;
  unary<T>(service: Service, method: string, payload: unknown, timeoutMs: number): Promise<T>;
  exchange<Q, A>(service: Service, method: string, question: Q, timeoutMs: number): Promise<A>;
  watch<Q, A>(): Promise<WatchedStream<Q, A>>;
  close(): void;
}

/** One member of the cluster. Watches have a connection of their own, which fails and is renewed by itself. */
export class EtcdEndpoint implements Endpoint {
  private readonly requests: Line;
  private readonly watches: Line;
  private readonly login: Login | null;
  private closed = false;

  /** `user`: with the bound on a login, in ms; its password is asked for at each login. */
  constructor(
    readonly name: string,
    plan: ConnectionPlan,
    user: { username: string; password: () => string; timeoutMs: number } | null,
  ) {
    this.requests = new Line(name, plan);
    this.watches = new Line(name, plan);
    this.login = user && new Login(() => this.logIn(user));
  }

  /** Throws only `EndpointFailure`, `timeoutMs` later at the latest. */
  unary<T>(service: Service, method: string, payload: unknown, timeoutMs: number): Promise<T> {
    return this.send(
      service,
      method,
      payload,
      timeoutMs,
      () => this.login?.current() ?? Promise.resolve(null),
    );
  }

  private async send<T>(
    service: Service,
    method: string,
    payload: unknown,
    timeoutMs: number,
    logIn: () => Promise<string | null>,
  ): Promise<T> {
    const began = performance.now();
    const deadline = Date.now() + timeoutMs;
    let call: Call | null = null;
    let expired = false;
    let token: string | null = null;
    const outcome = logIn().then((current) => {
      token = current;
      return this.requests.current.unary<T>(
        service,
        method,
        payload,
        deadline,
        token,
        () => !expired,
        (sent) => (call = sent),
      );
    });
    // Nobody awaits it any more when the timer wins.
    outcome.catch(() => undefined);
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => {
        expired = true;
        resolve('late');
      }, timeoutMs + lateMs);
    });
    try {
      const result = await Promise.race([outcome, limit]);
      if (result === 'late' || result === 'unwanted') {
        const kind = call ? 'no-answer' : 'not-sent';
        (call as Call | null)?.cancel();
        throw new EndpointFailure(kind, this.name, `no answer after ${Math.round(timeoutMs)} ms`);
      }
      if ('error' in result) throw result.error;
      this.requests.answered();
      return result.answer;
    } catch (error) {
      throw await this.failed(error, call !== null, began, token);
    } finally {
      clearTimeout(timer);
    }
  }

  private async logIn(user: {
    username: string;
    password: () => string;
    timeoutMs: number;
  }): Promise<string | null> {
    const { username: name, password, timeoutMs } = user;
    try {
      const question = { name, password: password() };
      const unknown = (): Promise<null> => Promise.resolve(null);
      const answer = await this.send<{ token: string }>('Auth', 'authenticate', question, timeoutMs, unknown);
      return answer.token;
    } catch (error) {
      // As etcd's own client does: who turns authentication off for a repair must not stop those who have a password.
      if ((error as EndpointFailure).message.includes('authentication is not enabled')) return null;
      throw error;
    }
  }

  /** One question and one answer over a stream of its own, which is closed afterwards in any case. */
  async exchange<Q, A>(service: Service, method: string, question: Q, timeoutMs: number): Promise<A> {
    const began = performance.now();
    let token: string | null = null;
    const deadline = Date.now() + timeoutMs;
    const opening = (this.login?.current() ?? Promise.resolve(null)).then((current) => {
      token = current;
      return this.requests.current.stream<Q, A>(service, method, token, deadline);
    });
    let timer: NodeJS.Timeout | undefined;
    let expired = false;
    let stream: IDuplexStream<Q, A> | null = null;
    try {
      const answer = await new Promise<A>((resolve, reject) => {
        timer = setTimeout(() => {
          expired = true;
          const kind = stream ? 'no-answer' : 'not-sent';
          reject(new EndpointFailure(kind, this.name, `no answer after ${Math.round(timeoutMs)} ms`));
        }, timeoutMs + lateMs);
        opening.then((opened) => {
          opened.on('error', reject);
          if (expired) return opened.cancel();
          stream = opened;
          opened.on('data', resolve);
          opened.on('end', () => reject(new Error('the stream ended without an answer')));
          opened.write(question);
        }, reject);
      });
      this.requests.answered();
      // Not cancelled: etcd counts that as a failed request.
      (stream as IDuplexStream<Q, A> | null)?.end();
      return answer;
    } catch (error) {
      (stream as IDuplexStream<Q, A> | null)?.cancel();
      throw await this.failed(error, stream !== null, began, token);
    } finally {
      clearTimeout(timer);
    }
  }

  async watch<Q, A>(): Promise<WatchedStream<Q, A>> {
    const token = (await this.login?.current()) ?? null;
    const stream = await this.watches.current.stream<Q, A>('Watch', 'watch', token);
    return {
      stream,
      answered: () => this.watches.answered(),
      silentSince: (since) => {
        if (!this.closed) this.watches.silentSince(since);
      },
    };
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.requests.close();
    this.watches.close();
  }

  private async failed(
    error: unknown,
    sent: boolean,
    began: number,
    token: string | null,
  ): Promise<EndpointFailure> {
    const failure =
      error instanceof EndpointFailure ? error : new EndpointFailure(...explain(error, sent, this.name));
    if (failure.kind === 'token-expired') await this.login?.forget(token);
    if (!unanswered.includes(failure.kind)) this.requests.answered();
    else if (!this.closed) this.requests.silentSince(began);
    return failure;
  }
}

/** gRPC's own sentences for calls that never left this process. */
const neverSent = [
  'No connection established',
  'Channel closed before call started',
  'Name resolution failed',
];
/** INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED. */
const definiteCodes = [3, 7, 12, 16];
/** UNKNOWN, DEADLINE_EXCEEDED, ABORTED, INTERNAL, UNAVAILABLE: etcd uses them also for what is still on its way. */
const openCodes = [2, 4, 10, 13, 14];

/** The token has run out, is of a former revision of the users, or was not sent as none was wanted before. */
const staleLogin = /invalid auth token|revision of auth store is old|user name is empty/;
/** OpenSSL's and Node's words, in a connection that could not be made; both sides check the other's certificate. */
const untrusted = /certificate|self.signed|altname|SSL alert|unknown ca/i;

function explain(error: unknown, sent: boolean, endpoint: string): [FailureKind, string, string, unknown] {
  // A gRPC error has both, one of etcd3 neither.
  const { code, details } = error as { code?: number; details?: string };
  const message = details || (error instanceof Error && error.message) || 'unknown error';
  const kind = ((): FailureKind => {
    if (message.includes('requested lease not found')) return 'lease-gone';
    if (staleLogin.test(message)) return 'token-expired';
    if (/authentication failed|permission denied|permission is not granted/.test(message)) return 'denied';
    if (untrusted.test(message)) return 'untrusted';
    if (!sent || neverSent.some((sentence) => message.includes(sentence))) return 'not-sent';
    if (typeof code !== 'number' || openCodes.includes(code)) return 'no-answer';
    // Any other code may come from gRPC itself (an answer too large, say) unless the words are etcd's.
    const said = definiteCodes.includes(code) || /etcdserver:|mvcc:|auth:|lease:/.test(message);
    return said ? 'refused' : 'no-answer';
  })();
  if (kind !== 'untrusted') return [kind, endpoint, message, error];
  // gRPC's sentence around the reason, and OpenSSL's details after it.
  const reason = message.replace(/^.*Last error: (?:Error: )?/s, '').replace(/\.? Resolution note:.*$/s, '');
  return [kind, endpoint, tlsSentence({ message: reason }) ?? reason, error];
}
