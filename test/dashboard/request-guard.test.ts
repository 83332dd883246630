import type { IncomingMessage } from 'node:http';
import { type GuardOptions, RequestGuard } from '../../src/dashboard/request-guard';

const token = '0123456789abcdef0123';
const good = {
  host: '127.0.0.1:8420',
  origin: 'http://127.0.0.1:8420',
  'x-baton-action': '1',
  'content-type': 'application/json',
  authorization: `Bearer ${token}`,
};
const request = (headers: Record<string, string | undefined>): IncomingMessage =>
  ({
    headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
  }) as never;
const guard = (options: Partial<GuardOptions> = {}): RequestGuard =>
  new RequestGuard({ tokens: [{ who: 'anna', token }], loopback: true, ...options });

test('a request of the page with a known token acts in the name of its owner', () => {
  expect(guard().check(request(good))).toEqual({ who: 'anna (dashboard)' });
});

test.each([
  ['without the header that only the page sends', { 'x-baton-action': undefined }, 403],
  ['from a page of another origin', { origin: 'https://evil.example' }, 403],
  ['from the same host on another port', { origin: 'http://127.0.0.1:9999' }, 403],
  ['from a page without an origin', { origin: 'null' }, 403],
  ['that the browser calls cross-site', { 'sec-fetch-site': 'cross-site' }, 403],
  ['as a form sends it', { 'content-type': 'text/plain' }, 415],
  ['without a token', { authorization: undefined }, 401],
  ['with another token', { authorization: `Bearer ${token}0` }, 401],
  ['with an empty token', { authorization: 'Bearer ' }, 401],
])('one %s is turned down', (_, change, status) => {
  expect(guard().check(request({ ...good, ...change }))).toMatchObject({ status });
});

test('without tokens and without a proxy nobody acts, whatever is sent', () => {
  const readOnly = guard({ tokens: [] });
  expect(readOnly.actions).toBe('off');
  expect(readOnly.check(request(good))).toMatchObject({ status: 403 });
});

test('behind a proxy its word names who acts; with tokens both are needed', () => {
  const options = { identityHeader: 'X-Forwarded-User', publicOrigin: 'https://baton.example' };
  const asked = { ...good, origin: 'https://baton.example', 'x-forwarded-user': 'bert' };
  expect(guard({ ...options, tokens: [] }).check(request(asked))).toEqual({ who: 'bert (dashboard)' });
  expect(guard(options).check(request(asked))).toEqual({ who: 'bert (dashboard)' });
  expect(guard(options).check(request({ ...asked, authorization: undefined }))).toMatchObject({
    status: 401,
  });
  expect(guard(options).check(request({ ...asked, 'x-forwarded-user': undefined }))).toMatchObject({
    status: 401,
  });
});

test('a name that somebody has pointed at this machine gets nothing', () => {
  expect(guard().whyNotServe(request({ host: 'evil.example:8420' }))).toMatch(/evil\.example/);
  for (const host of ['localhost:8420', '127.0.0.1:8420', '[::1]:8420'])
    expect(guard().whyNotServe(request({ host }))).toBeNull();
  const proxied = guard({ publicOrigin: 'https://baton.example' });
  expect(proxied.whyNotServe(request({ host: 'baton.example' }))).toBeNull();
});
