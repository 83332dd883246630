import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { findProgram } from '../../src/dev/find-program';
import type { TestSystem } from './test-system';

const program = resolve(__dirname, '../../dist/src/cli/main.js');
/** Kept after the run, for people to look at. */
const shots = resolve(__dirname, '../../dist/test-output');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** What anna, who alone may act, signs in with. */
export const token = '0123456789abcdef0123';

/** `baton dashboard` as a process of its own. */
export class DashboardProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
    readonly output: () => string,
  ) {}

  /** For this system's locks, with anna to act; `more`: further options of the command. */
  static startFor(system: TestSystem, ...more: string[]): Promise<DashboardProcess> {
    const tokens = join(system.folder, 'tokens');
    writeFileSync(tokens, `anna: ${token}\n`);
    return DashboardProcess.start(['--config', system.configFile(), '--token-file', tokens, ...more]);
  }

  static async start(args: string[]): Promise<DashboardProcess> {
    const child = spawn(process.execPath, [program, 'dashboard', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    const url = await new Promise<string>((found, fail) => {
      const read = (chunk: Buffer): void => {
        said += String(chunk);
        const [, address] = /dashboard: (http:\S+)/.exec(said) ?? [];
        if (address !== undefined) found(address);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.on('exit', (code) => fail(new Error(`baton dashboard ended with ${code}: ${said}`)));
    });
    return new DashboardProcess(child, url, () => said);
  }

  get port(): string {
    return new URL(this.url).port;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGTERM');
    await ended;
  }
}

export const launchBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: findProgram('chromium'), args: ['--no-sandbox'] });

/** A page whose console errors are kept. */
export async function openPage(
  browser: Browser,
  url: string,
  errors: string[],
  options: { width?: number; height?: number; scheme?: 'light' | 'dark' } = {},
): Promise<Page> {
  const { width = 1280, height = 900, scheme = 'light' } = options;
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme });
  page.setDefaultTimeout(45_000);
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(url);
  await page.waitForSelector('.lock');
  return page;
}

/** What axe finds wrong, one line each. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { violations } = await (
      globalThis as unknown as {
        axe: { run(): Promise<{ violations: { id: string; help: string; nodes: { html: string }[] }[] }> };
      }
    ).axe.run();
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0]?.html}`);
  });
}

/** Goes on with the tab key until the element has the focus. */
export async function tabTo(page: Page, selector: string): Promise<void> {
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press('Tab');
    if (await page.locator(`${selector}:focus`).count()) return;
  }
  throw new Error(`the tab key does not reach ${selector}`);
}

export async function keepScreenshot(page: Page, name: string): Promise<string> {
  mkdirSync(shots, { recursive: true });
  const path = join(shots, `${name}.png`);
  await page.screenshot({ path });
  return path;
}
