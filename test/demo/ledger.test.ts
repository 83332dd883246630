import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LedgerReader, type LedgerRecord, LedgerWriter, readLedger } from '../../src/demo/ledger';

describe('the ledger', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'baton-ledger-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const record = (seq: number, t: bigint): LedgerRecord => ({
    ...{ event: 'start', seq, token: 7, region: 'us-east', pod: 'us-east-a-1', t, wall: 1000 },
  });

  it('reads back what was written, with times beyond 2^53 exact', () => {
    const written = [record(1, 9_007_199_254_740_993n), record(2, 9_007_199_254_740_994n)];
    const writer = new LedgerWriter(folder, 'us-east-a-1');
    for (const each of written) writer.write(each);
    expect(readLedger(folder)).toEqual([{ pid: process.pid, records: written }]);
  });

  it('reads on where it stopped, in old and new files', () => {
    const reader = new LedgerReader(folder);
    expect(reader.poll()).toEqual([]);
    const writer = new LedgerWriter(folder, 'us-east-a-1');
    writer.write(record(1, 1n));
    expect(reader.poll()).toMatchObject([{ records: [{ seq: 1 }] }]);
    writer.write(record(2, 2n));
    new LedgerWriter(folder, 'us-west-a-1').write(record(3, 3n));
    expect(reader.poll().flatMap(({ records }) => records.map(({ seq }) => seq))).toEqual([2, 3]);
    reader.close();
  });

  it('leaves out a last line that a kill tore off, and waits for its rest if there is one', () => {
    const reader = new LedgerReader(folder);
    const file = join(folder, 'us-east-a-1-42.ndjson');
    const line = '{"e":"end","seq":1,"token":7,"region":"r","pod":"p","t":"5","wall":1}\n';
    appendFileSync(file, line.slice(0, 20));
    expect(reader.poll()).toEqual([]);
    appendFileSync(file, line.slice(20));
    expect(reader.poll()).toMatchObject([{ pid: 42, records: [{ event: 'end', t: 5n }] }]);
    reader.close();
  });

  it('refuses a line that is not of the ledger', () => {
    appendFileSync(join(folder, 'p-1.ndjson'), '{"e":"stop","seq":1}\n');
    expect(() => readLedger(folder)).toThrow(/not a ledger line/);
  });
});
