import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const root = resolve(__dirname, '../..');
const skipped = new Set(['node_modules', 'dist', '.git', 'templates']);

function pagesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : pagesBelow(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

/** What is between fences or backticks is shown, not followed. */
const prose = (page: string): string =>
  page
    .replaceAll(/^ *(```+|~~~+)[^\n]*\n[\s\S]*?^ *\1 *$/gm, '')
    .replaceAll(/(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g, '');

interface Link {
  text: string;
  target: string;
}

/** `[text](target)`, images, `[label]: target` and `href="target"`. */
const linksOf = (page: string): Link[] => [
  ...[...prose(page).matchAll(/(?<=\])\(<?([^\s)>]+)>?(?: "[^"]*")?\)/g)].map(([text, target = '']) => ({
    text,
    target,
  })),
  ...[...prose(page).matchAll(/^\[[^\]]+\]:\s+<?(\S+?)>?$/gm)].map(([text, target = '']) => ({
    text,
    target,
  })),
  ...[...prose(page).matchAll(/\b(?:href|src)="([^"]+)"/g)].map(([text, target = '']) => ({ text, target })),
];

/** As GitHub makes them from headings: a repeated one gets a number. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  const withoutFences = page.replaceAll(/^ *(```+|~~~+)[^\n]*\n[\s\S]*?^ *\1 *$/gm, '');
  for (const [, heading = ''] of withoutFences.matchAll(/^#{1,6}\s+(.*?)\s*#*$/gm)) {
    const plain = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-');
    let anchor = plain;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${plain}-${n}`;
    anchors.add(anchor);
  }
  for (const [, id = ''] of page.matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(id);
  return anchors;
}

/** Why a link leads nowhere; `undefined` where it leads somewhere, or off these files. */
function whyBroken(file: string, target: string): string | undefined {
  if (/^[a-z][a-z+.-]*:/i.test(target)) return undefined;
  const [path = '', anchor] = target.split('#');
  const to = path === '' ? file : resolve(dirname(file), decodeURIComponent(path));
  if (!existsSync(to)) return 'there is no such file';
  if (relative(root, to).startsWith('..')) return 'it is not in this repository';
  if (anchor === undefined) return undefined;
  if (statSync(to).isDirectory() || !to.endsWith('.md')) return undefined;
  return anchorsOf(readFileSync(to, 'utf8')).has(anchor) ? undefined : 'there is no such heading';
}

const pages = pagesBelow(root);

test('every relative link of every Markdown file leads to a file, and every anchor to a heading', () => {
  const links = pages.flatMap((file) =>
    linksOf(readFileSync(file, 'utf8')).map(({ target }) => ({ file, target })),
  );
  // So that a pattern that finds nothing proves nothing.
  expect(links.length).toBeGreaterThan(40);
  const broken = links.flatMap(({ file, target }) => {
    const why = whyBroken(file, target);
    return why === undefined ? [] : [`${relative(root, file)}: ${target}: ${why}`];
  });
  expect(broken).toEqual([]);
});

test('docs/README.md leads to every page', () => {
  const index = resolve(root, 'docs/README.md');
  const reached = new Set(
    linksOf(readFileSync(index, 'utf8')).map(({ target }) => resolve(dirname(index), target.split('#')[0]!)),
  );
  const missing = pages.filter((file) => file.startsWith(`${dirname(index)}/`) && file !== index);
  expect(missing.filter((file) => !reached.has(file)).map((file) => relative(root, file))).toEqual([]);
});

test('headings, links and code are told apart', () => {
  const page =
    '# A `b` (c): d!\n\n## Two\n\n## Two\n\n[x](#two-1) `[y](nowhere.md)`\n\n```\n[z](none.md)\n# no heading\n```\n';
  expect([...anchorsOf(page)]).toEqual(['a-b-c-d', 'two', 'two-1']);
  expect(linksOf(page).map(({ target }) => target)).toEqual(['#two-1']);
  expect(whyBroken(join(root, 'README.md'), 'docs/none.md')).toBe('there is no such file');
  expect(whyBroken(join(root, 'README.md'), 'docs/configuration.md#none')).toBe('there is no such heading');
  expect(whyBroken(join(root, 'README.md'), 'docs/configuration.md#hooks')).toBeUndefined();
});
