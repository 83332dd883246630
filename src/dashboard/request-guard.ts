import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/** Sent by the page with everything that may change something. A form or a simple cross-site request cannot send it. */
export const actionHeader = 'x-baton-action';

export interface GuardOptions {
  /** Who may act: a name by token. Empty: nobody, unless there is an identity header. */
  tokens: { who: string; token: string }[];
  /** Set by a proxy in front, which has found out who asks. Together with tokens, both are needed. */
  identityHeader?: string;
  /** Where browsers reach the page, if not at the address it listens on; for a proxy. */
  publicOrigin?: string;
  /** Bound to a loopback address: then no other name may lead here. */
  loopback: boolean;
}

/** `who`: may act under this name. */
export type Verdict = { who: string } | { status: number; why: string };

/** Decides which requests are answered at all, and which ones may act, and in whose name. */
export class RequestGuard {
  constructor(private readonly options: GuardOptions) {}

  get actions(): 'off' | 'token' | 'proxy' {
    const { tokens, identityHeader } = this.options;
    if (tokens.length > 0) return 'token';
    return identityHeader === undefined ? 'off' : 'proxy';
  }

  /** A name that an attacker has pointed at this machine must not get the page's data. */
  whyNotServe({ headers }: IncomingMessage): string | null {
    const { loopback, publicOrigin } = this.options;
    const host = headers.host ?? '';
    if (publicOrigin !== undefined && host === new URL(publicOrigin).host) return null;
    const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    if (name === 'localhost' || isIP(name) !== 0 || !loopback) return null;
    return `this server does not answer to the name ${name} (see --public-url)`;
  }

  /** For what asks a pod or changes something. */
  check(request: IncomingMessage): Verdict {
    const { headers } = request;
    if (this.actions === 'off')
      return { status: 403, why: 'read-only: baton dashboard was started without --token-file' };
    if (headers[actionHeader] !== '1') return { status: 403, why: `the header ${actionHeader} is missing` };
    const { origin } = headers;
    if (origin !== undefined && !this.isOwn(origin, headers.host ?? ''))
      return { status: 403, why: `asked by a page of ${origin}` };
    const site = headers['sec-fetch-site'];
    if (site !== undefined && site !== 'same-origin')
      return { status: 403, why: `asked by another site (${site})` };
    if (!/^application\/json\b/.test(headers['content-type'] ?? ''))
      return { status: 415, why: 'the content must be application/json' };
    return this.identity(request);
  }

  private identity({ headers }: IncomingMessage): Verdict {
    const { tokens, identityHeader } = this.options;
    const [, given = ''] = /^Bearer (\S+)$/.exec(headers.authorization ?? '') ?? [];
    const known = tokens.find(({ token }) => isSame(token, given));
    if (tokens.length > 0 && !known)
      return { status: 401, why: given === '' ? 'a token is needed' : 'this token is not known' };
    if (identityHeader === undefined) return { who: `${known?.who} (dashboard)` };
    const named = headers[identityHeader.toLowerCase()];
    if (typeof named !== 'string' || !/^[\x20-\x7e]{1,100}$/.test(named.trim()))
      return { status: 401, why: `the proxy did not say who asks (header ${identityHeader})` };
    return { who: `${named.trim()} (dashboard)` };
  }

  private isOwn(origin: string, host: string): boolean {
    if (origin === this.options.publicOrigin) return true;
    return URL.canParse(origin) && new URL(origin).host === host;
  }
}

/** Takes the same time whatever differs. */
export function isSame(one: string, other: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
