import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { freePorts } from '../../src/dev/free-port';
import { EtcdClient } from '../../src/etcd/etcd-client';
import { EtcdLock } from '../../src/etcd/etcd-lock';
import {
  accessibilityProblems,
  DashboardProcess,
  keepScreenshot,
  launchBrowser,
  openPage,
  tabTo,
  token,
} from '../support/dashboard-browser';
import { eventually } from '../support/eventually';
import { sharedServers, uniqueName } from '../support/servers';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

const errors: string[] = [];
let system: TestSystem;
let browser: Browser;
let dashboard: DashboardProcess;
let page: Page;

const start = (port: string): Promise<DashboardProcess> =>
  DashboardProcess.startFor(system, '--port', port, '--temporal-ui', 'http://127.0.0.1:8233');
const sentence = (): string => `#lock-${system.lock} .sentence`;
const lane = (region: string, state: string): Promise<number> =>
  page
    .locator(`#lock-${system.lock} .lane`)
    .filter({ hasText: region })
    .locator(`.track .${state}:not([hidden])`)
    .count();

beforeAll(async () => {
  system = await TestSystem.create();
  [browser] = await Promise.all([launchBrowser(), system.bringUp()]);
  (await system.connectPublisher()).start(50);
  dashboard = await start('0');
  page = await openPage(browser, dashboard.url, errors);
});
afterAll(async () => {
  await browser?.close();
  await dashboard?.stop();
  await system?.stop();
});

test('says who is active, since when and why, what happened before, and whether a standby is ready', async () => {
  await page.locator(sentence(), { hasText: 'us-east is active for' }).waitFor();
  const facts = page.locator('.facts');
  await facts.locator('dd', { hasText: /us-east, pod us-east-a-\w+, token \d+/ }).waitFor();
  await facts.locator('dd', { hasText: 'yes: us-west 1 of 1' }).waitFor();
  await facts.locator('dd', { hasText: /no failed attempt of \d+/ }).waitFor();
  await facts.locator('dd', { hasText: /\d s of 6 s left/ }).waitFor();
  // From the pods' own endpoints and the workflows.
  await page.locator('tr.holds td', { hasText: /\d\/s/ }).waitFor();
  await page.locator('li', { hasText: /us-east active: us-east-a-\w+ holds/ }).waitFor();
  const link = page.locator('a', { hasText: 'us-west in the Temporal UI' });
  expect(await link.getAttribute('href')).toBe(
    `http://127.0.0.1:8233/namespaces/default/workflows/baton%2F${system.lock}%2Fus-west`,
  );
  expect(await page.locator('[data-action]').count()).toBe(0);
});

test('with the keyboard alone: unlock, look at the checks, switch; the lanes move, and the receipt names who', async () => {
  await tabTo(page, '#session');
  await page.keyboard.press('Enter');
  await tabTo(page, 'dialog input[type=password]');
  await page.keyboard.type(token);
  await page.keyboard.press('Enter');
  await page.locator('[data-action=switch]').waitFor();
  await tabTo(page, '[data-action=switch]');
  await page.keyboard.press('Enter');
  await page.locator('.verdict.good', { hasText: 'us-west could take over now' }).waitFor();
  expect(await page.locator('dialog tr', { hasText: 'broker reachable' }).count()).toBeGreaterThan(0);
  await tabTo(page, 'dialog input[type=text]');
  await page.keyboard.type('<b>deploy</b> 1.4');
  await page.keyboard.press('Enter');
  await page.locator(sentence(), { hasText: 'us-west is active for' }).waitFor();
  await eventually(async () => {
    if ((await lane('us-west', 'active')) !== 1) throw new Error('the lane of us-west has not moved');
  }, 40_000);
  await page.locator('.notice.good', { hasText: `switch ${system.lock} to us-west by anna` }).waitFor();
  const [receipt] = await system.store.listReceipts(1);
  expect(receipt).toMatchObject({ cause: 'switch', by: 'anna (dashboard)', why: '<b>deploy</b> 1.4' });
  expect(dashboard.output()).toMatch(/"by":"anna \(dashboard\)","action":"switch".*"outcome":"done"/);
  // Text is text, wherever it comes from.
  await page.locator('tbody td', { hasText: '<b>deploy</b> 1.4' }).waitFor();
  // A change shows its receipt, and Escape gives the focus back.
  await tabTo(page, '.mark[aria-label^="planned switch us-east → us-west"]');
  await page.keyboard.press('Enter');
  await page.locator('dialog dd', { hasText: 'anna (dashboard)' }).first().waitFor();
  await page.keyboard.press('Escape');
  expect(await page.locator('.mark:focus').count()).toBe(1);
  await page.locator('#window').selectOption('5 minutes');
  expect(statSync(await keepScreenshot(page, 'dashboard')).size).toBeGreaterThan(10_000);
});

test.each(['light', 'dark'] as const)(
  'nothing is wrong for axe in %s, with a dialog open too',
  async (scheme) => {
    const look = async (width: number, height: number): Promise<void> => {
      const other = await openPage(browser, dashboard.url, errors, { scheme, width, height });
      await other.locator('tr.holds').waitFor();
      await keepScreenshot(other, `dashboard-${scheme}-${width}`);
      expect(await accessibilityProblems(other)).toEqual([]);
      await other.locator('button', { hasText: 'Receipt' }).first().click();
      expect(await accessibilityProblems(other)).toEqual([]);
      await keepScreenshot(other, `dashboard-receipt-${scheme}-${width}`);
      // Nothing sticks out of a phone's screen.
      expect(await other.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(
        0,
      );
      await other.close();
    };
    await Promise.all([look(1280, 900), look(390, 844)]);
  },
);

test('a lost connection is told, and heals when the server is back', async () => {
  const { port } = dashboard;
  await dashboard.stop();
  await page.locator('.notice', { hasText: 'No connection to this dashboard' }).waitFor();
  expect(await page.locator('#summary').textContent()).toBe('not connected');
  dashboard = await start(port);
  await page.locator('.notice', { hasText: 'No connection to this dashboard' }).waitFor({ state: 'hidden' });
  const { holder } = await system.view();
  await page.locator(sentence(), { hasText: `${holder?.region} is active for` }).waitFor();
  // That the server was away is the browser's own word in the console, and expected.
  errors.splice(0, errors.length, ...errors.filter((text) => !text.includes('net::ERR_')));
});

test('nobody else acts: not without a token, not from another site, not under another name', async () => {
  const ask = async (headers: Record<string, string>): Promise<number> =>
    (
      await fetch(`${dashboard.url}/api/actions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-baton-action': '1', ...headers },
        body: JSON.stringify({ action: 'pause', lock: system.lock, reason: 'test' }),
      })
    ).status;
  const mine = { authorization: `Bearer ${token}` };
  expect(await ask({})).toBe(401);
  expect(await ask({ ...mine, origin: 'https://evil.example' })).toBe(403);
  expect(await ask({ ...mine, 'x-baton-action': '' })).toBe(403);
  expect((await system.view()).paused).toBeNull();
  const answer = await fetch(dashboard.url);
  expect(answer.headers.get('content-security-policy')).toContain("script-src 'self'");
  expect(answer.headers.get('set-cookie')).toBeNull();
});

test('fifty locks stay readable while Temporal is away, which the page says', async () => {
  const etcd = new EtcdClient(
    { endpoints: sharedServers().etcd.map((address) => `http://${address}`) },
    { requestTimeoutMs: 10_000 },
  );
  const names = Array.from({ length: 50 }, (_, i) => uniqueName(`queue-${String(i).padStart(2, '0')}`));
  const holding = Promise.all(names.map((name) => hold(new EtcdLock(etcd, name, { report: () => {} }))));
  const config = join(system.folder, 'fifty.yaml');
  const temporal = `127.0.0.1:${(await freePorts(1))[0]}`;
  writeFileSync(
    config,
    JSON.stringify({
      regions: { 'us-east': {}, 'us-west': {} },
      etcd: { endpoints: etcd.address.endpoints },
      temporal: { address: temporal },
      locks: Object.fromEntries(names.map((name) => [name, { queue: { name }, handler: './none.js' }])),
    }),
  );
  const [leases, fifty] = await Promise.all([
    holding,
    DashboardProcess.start(['--config', config, '--port', '0']),
  ]);
  const look = async (width: number): Promise<void> => {
    const many = await openPage(browser, fifty.url, errors, { width });
    await many.locator('.notice', { hasText: /Temporal unreachable for .*; shown from etcd/ }).waitFor();
    expect(await many.locator('.lock').count()).toBe(50);
    expect(await many.locator('.sentence', { hasText: 'us-east is active for' }).count()).toBe(50);
    expect(await many.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    const heights = await many.locator('.lock').evaluateAll((all) => all.map((each) => each.clientHeight));
    // Several fit on a screen, also on a phone's, where the sentence takes lines of its own.
    expect(Math.max(...heights)).toBeLessThan(220);
    expect(await accessibilityProblems(many)).toEqual([]);
    await keepScreenshot(many, `dashboard-fifty-${width}`);
    await many.locator('#filter').fill('queue-17');
    expect(await many.locator('.lock:visible').count()).toBe(1);
    // Read-only: it was started without tokens.
    expect(await many.locator('#session:visible').count()).toBe(0);
    await many.close();
  };
  try {
    await Promise.all([1280, 390].map(look));
  } finally {
    await fifty.stop();
    await Promise.all(leases.map((leaseId) => etcd.revokeLease(leaseId)));
    etcd.close();
  }
});

test('the browser has had nothing to complain about', () => expect(errors).toEqual([]));

/** A holder without a process. @returns its lease. */
async function hold(store: EtcdLock): Promise<string> {
  const { leaseId } = await store.grantLease(300_000);
  const pod = { region: 'us-east', pod: 'us-east-a-0' };
  const candidate = { ...pod, leaseId, state: 'ready' as const, standing: true };
  const { view } = await store.putCandidate({ ...candidate, since: new Date().toISOString(), version: '1' });
  const changed = await store.changeHolder({
    id: uniqueName('change'),
    view,
    to: pod,
    cause: 'first',
    why: 'test',
    by: 'jest',
  });
  if (changed.outcome !== 'applied') throw new Error(changed.why);
  return leaseId;
}
