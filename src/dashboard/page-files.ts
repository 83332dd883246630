import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';

export interface PageFile {
  type: string;
  body: Buffer;
  etag: string;
}

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The page's own files stand uncompiled in src/, also in the package; this module may run from dist/. */
const pageFolder = [join(__dirname, 'page'), resolve(__dirname, '../../../src/dashboard/page')].find(
  (folder) => existsSync(join(folder, 'index.html')),
);

/** All that the page consists of, by path, read once: nothing else of the disk can be asked for. */
export function readPageFiles(): Map<string, PageFile> {
  if (pageFolder === undefined) throw new Error("the dashboard's files are missing from this installation");
  const chart = dirname(require.resolve('uplot/package.json'));
  const sources: [string, string][] = [
    ...readdirSync(pageFolder).map((file): [string, string] => [`/${file}`, join(pageFolder, file)]),
    ['/uplot.js', join(chart, 'dist/uPlot.esm.js')],
    ['/uplot.css', join(chart, 'dist/uPlot.min.css')],
  ];
  const files = new Map<string, PageFile>();
  for (const [path, file] of sources) {
    const body = readFileSync(file);
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    files.set(path, { type: types[extname(file)] ?? 'application/octet-stream', body, etag });
  }
  const index = files.get('/index.html');
  if (index) files.set('/', index);
  return files;
}
