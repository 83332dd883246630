/** What an operator does on the page beside a switch: every button, as it is seen and pressed. */
import type { Browser, Page } from 'playwright-core';
import { DashboardProcess, launchBrowser, openPage, token } from '../support/dashboard-browser';
import { eventually } from '../support/eventually';
import { type CommandEnd, TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

const errors: string[] = [];
let system: TestSystem;
let browser: Browser;
let dashboard: DashboardProcess;
let page: Page;

beforeAll(async () => {
  system = await TestSystem.create({ lockSettings: { approvalWithinMs: 60_000 } });
  [browser] = await Promise.all([launchBrowser(), system.bringUp()]);
  (await system.connectPublisher()).start(50);
  dashboard = await DashboardProcess.startFor(system, '--port', '0');
  page = await openPage(browser, dashboard.url, errors);
  await page.locator('#session').click();
  await page.locator('dialog input[type=password]').fill(token);
  await page.keyboard.press('Enter');
  await button('switch').waitFor();
});
afterAll(async () => {
  await browser?.close();
  await dashboard?.stop();
  await system?.stop();
});

const button = (action: string) => page.locator(`[data-action=${action}]`);
const told = (text: string): Promise<void> => page.locator('.notice', { hasText: text }).first().waitFor();

async function press(action: string, reason: string): Promise<void> {
  await button(action).click();
  await page.locator('dialog input[type=text]').fill(reason);
  await page.keyboard.press('Enter');
  await eventually(async () => {
    const [problem] = await page.locator('dialog .problem').allTextContents();
    if (problem !== undefined) throw new Error(`the dialog is still open: ${problem}`);
  });
}

/** Asked for by somebody else; returns when the page offers to approve it. */
async function askedSwitch(to: string): Promise<{ end: Promise<CommandEnd> }> {
  const end = system.tryBaton('switch', '--to', to, '--reason', 'maintenance', '--by', 'ben');
  await button('approve').waitFor();
  await page.locator('li, p', { hasText: `asked for by ben (maintenance)` }).first().waitFor();
  return { end };
}

test('a veto, and an abort, end a switch that waits; the lock stays where it is', async () => {
  const before = (await system.view()).holder;
  const vetoed = await askedSwitch('us-west');
  await press('veto', 'not on a Friday');
  expect(await vetoed.end).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('vetoed by anna (dashboard): not on a Friday'),
  });
  await button('switch').waitFor();

  const aborted = await askedSwitch('us-west');
  // What has nothing to do with the switch can be done meanwhile.
  await press('pause', 'wait');
  await press('resume', 'go on');
  await press('abort', 'asked too early');
  const end = await aborted.end;
  expect({ ...end, stderr: end.stdout + end.stderr }).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('asked too early'),
  });
  await button('switch').waitFor();
  expect((await system.view()).holder).toEqual(before);
});

test('an approval lets it go on, and stands in the receipt', async () => {
  const approved = await askedSwitch('us-west');
  await press('approve', 'as agreed');
  expect((await approved.end).code).toBe(0);
  const [receipt] = await system.store.listReceipts(1);
  expect(receipt).toMatchObject({
    by: 'ben',
    to: { region: 'us-west' },
    answers: [{ stage: 'approval', from: 'anna (dashboard)', verdict: 'ok', why: 'as agreed' }],
  });
  await page.locator(`#lock-${system.lock} .sentence`, { hasText: 'us-west is active for' }).waitFor();
});

test('while paused nothing may change, and the page says who wanted it so; until it is resumed', async () => {
  await press('pause', 'network works');
  await page.locator('li, p', { hasText: 'Paused by anna (dashboard)' }).first().waitFor();
  expect((await system.view()).paused).toMatchObject({ who: 'anna (dashboard)', why: 'network works' });
  const refused = await system.tryBaton('switch', '--to', 'us-east', '--reason', 'x', '--by', 'ben');
  expect(refused.code).toBe(1);
  expect(refused.stdout + refused.stderr).toContain('paused');
  await press('resume', 'network is done');
  await button('pause').waitFor();
  expect((await system.view()).paused).toBeNull();
  await told('resume');
});

test('all of it is in the log, under the name of whoever pressed; the browser had nothing to complain about', async () => {
  for (const action of ['veto', 'abort', 'approve', 'pause', 'resume'])
    expect(dashboard.output()).toMatch(new RegExp(`"by":"anna \\(dashboard\\)","action":"${action}"`));
  expect(errors).toEqual([]);
  expect(await system.settle()).toMatchObject({ lost: [], duplicates: [], overlaps: 0 });
});
