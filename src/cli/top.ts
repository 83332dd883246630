import { type CommandSpec, configOption, type Options, runParsed } from './command-line';
import { lockOption, withClient } from './operator-command';
import { awayLines, topFrame, topLine } from './top-text';

const spec = {
  name: 'top',
  summary: 'every lock, live, in the terminal: lanes, rates, who is active',
  options: { ...lockOption, ...configOption },
  notes:
    'Until Ctrl-C. Into a pipe it writes plain lines: one for each lock every 2 s, and at once when it changes hands.',
} as const satisfies CommandSpec;

const frameMs = 500;
const lineMs = 2_000;
/** Another screen than the one with the shell's lines, which come back at the end; and no cursor. */
const enter = '\u001b[?1049h\u001b[?25l';
const leave = '\u001b[?25h\u001b[?1049l';

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { DashboardFeed } = await import('../dashboard/dashboard-feed.js');
  return withClient(options, async (client, locks) => {
    const feed = new DashboardFeed({ client, locks: locks.map(({ name }) => name) });
    feed.watched();
    await feed.start();
    const out = process.stdout;
    const show = out.isTTY ? screen(feed, out) : lines(feed);
    if (out.isTTY) out.write(enter);
    show();
    const timer = setInterval(show, out.isTTY ? frameMs : lineMs);
    await new Promise<void>((done) => {
      process.once('SIGINT', () => done()).once('SIGTERM', () => done());
    });
    clearInterval(timer);
    feed.close();
    if (out.isTTY) out.write(leave);
    return 0;
  });
}

type Feed = InstanceType<typeof import('../dashboard/dashboard-feed.js').DashboardFeed>;

function screen(feed: Feed, out: NodeJS.WriteStream): () => void {
  return () => {
    const { locks, temporal } = feed.snapshot('off');
    const frame = topFrame(locks, temporal, Date.now(), out.columns || 80);
    const fitting = frame.slice(0, Math.max(1, (out.rows || 24) - 1));
    // Each line is cleared behind its end, so that nothing flickers.
    out.write(`\u001b[H${fitting.map((line) => `${line}\u001b[K`).join('\n')}\u001b[J`);
  };
}

function lines(feed: Feed): () => void {
  const tokens = new Map<string, number | null>();
  feed.on('lock', (card) => {
    const token = card.holder?.token ?? null;
    const former = tokens.get(card.lock);
    tokens.set(card.lock, token);
    if (former === undefined || former === token) return;
    const found = feed.snapshot('off').locks.find((each) => each.card.lock === card.lock);
    if (found) console.log(topLine(found, Date.now()));
  });
  return () => {
    const { locks, temporal } = feed.snapshot('off');
    const now = Date.now();
    for (const line of awayLines(locks, temporal, now))
      console.log(`${new Date(now).toISOString()}  ${line}`);
    for (const lock of locks) console.log(topLine(lock, now));
  };
}
