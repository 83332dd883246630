import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { LedgerWriter } from '../../src/demo/ledger';
import { LoadFile, readPublished } from '../../src/demo/load-file';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'baton-load-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('gives back what several load generators have noted, and nothing of the ledgers beside them', () => {
  const first = new LoadFile(folder, '1');
  first.append([1, 2]);
  first.append([]);
  first.append([3]);
  new LoadFile(folder, '2').append([10]);
  const place = { token: 1, region: 'us-east', pod: 'a' };
  new LedgerWriter(folder, 'a').write({ event: 'start', seq: 99, t: 1n, wall: 1, ...place });
  expect([...readPublished(folder)].toSorted((a, b) => a - b)).toEqual([1, 2, 3, 10]);
});

it('leaves out a number that its writer was killed in the middle of', () => {
  new LoadFile(folder, '1').append([123]);
  appendFileSync(join(folder, 'published-1.txt'), '45');
  expect([...readPublished(folder)]).toEqual([123]);
});
