import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BenchEntry, BenchLedger, parseEntry } from '../../src/bench/ledger';
import { checkIntegrity, countOverlaps, findHandover } from '../../src/bench/ledger-analysis';

const ns = (ms: number): bigint => BigInt(Math.round(ms * 1e6));

function entry(seq: number, process: string, startMs: number, endMs: number): BenchEntry {
  return parseEntry(`${seq} ${process} ${ns(startMs)} ${ns(endMs)}`);
}

/** One message each 2 ms until 100 ms by `a`, from 150 ms on by `b`. */
function cleanSwitch(): BenchEntry[] {
  const old = Array.from({ length: 50 }, (_, i) => entry(i + 1, 'a', 2 * i, 2 * i + 1));
  const successor = Array.from({ length: 50 }, (_, i) => entry(i + 51, 'b', 150 + 2 * i, 151 + 2 * i));
  return [...old, ...successor];
}

const published = Array.from({ length: 100 }, (_, i) => i + 1);

test('the gap reaches from the last end of the old one to the first start of the new one', () => {
  const handover = findHandover(cleanSwitch(), 'a', ns(90));
  expect(handover).toMatchObject({ from: 'a', to: 'b', stale: 0 });
  expect(handover?.gapMs).toBeCloseTo(150 - 99, 6);
});

test('there is no handover before somebody else has begun', () => {
  expect(findHandover(cleanSwitch().slice(0, 50), 'a', ns(90))).toBeNull();
});

test('what others did before the fault is not taken for the handover', () => {
  const earlier = entry(900, 'b', 1.2, 1.4);
  expect(findHandover([earlier, ...cleanSwitch()], 'a', ns(90))?.gapMs).toBeCloseTo(51, 6);
});

test('a clean ledger shows nothing lost, nothing twice, no overlap', () => {
  expect(checkIntegrity(cleanSwitch(), published)).toEqual({ lost: [], duplicates: [], overlaps: 0 });
});

test('a lost message is found', () => {
  const entries = cleanSwitch().filter(({ seq }) => seq !== 77);
  expect(checkIntegrity(entries, published).lost).toEqual([77]);
});

test('a message processed twice is found, by whomever', () => {
  const entries = [...cleanSwitch(), entry(50, 'b', 300, 301), entry(60, 'b', 302, 303)];
  expect(checkIntegrity(entries, published)).toMatchObject({ lost: [], duplicates: [50, 60] });
});

test('two contenders at the same time are an overlap, one after the other are none', () => {
  const touching = [entry(1, 'a', 0, 10), entry(2, 'b', 10, 20)];
  const crossing = [entry(1, 'a', 0, 10), entry(2, 'b', 5, 20), entry(3, 'a', 12, 13)];
  expect(countOverlaps(touching)).toBe(0);
  expect(countOverlaps(crossing)).toBe(2);
});

test('messages of the same contender at the same time are no overlap', () => {
  expect(countOverlaps([entry(1, 'a', 0, 10), entry(2, 'a', 5, 6)])).toBe(0);
});

test('stale messages are those that the old one started after the first of the new one', () => {
  const entries = [
    ...cleanSwitch(),
    entry(201, 'a', 149, 149.5),
    entry(202, 'a', 170, 171),
    entry(203, 'a', 180, 181),
  ];
  expect(findHandover(entries, 'a', ns(90))).toMatchObject({ stale: 2 });
});

test('another process of the old pod that goes on is stale too', () => {
  const entries = [entry(1, 'p1#10', 0, 1), entry(2, 'p2#20', 50, 51), entry(3, 'p1#11', 60, 61)];
  expect(findHandover(entries, 'p1#10', ns(10))).toMatchObject({ to: 'p2#20', stale: 1 });
});

test('a spare that goes on in the same pod is the successor, and not stale', () => {
  const entries = [entry(1, 'p1#10', 0, 1), entry(2, 'p1#11', 9, 10), entry(3, 'p1#11', 11, 12)];
  const handover = findHandover(entries, 'p1#10', ns(2));
  expect(handover).toMatchObject({ to: 'p1#11', stale: 0 });
  expect(handover?.gapMs).toBeCloseTo(8, 6);
});

test('the ledger is read as it grows, and a half-written line waits for its end', () => {
  const folder = mkdtempSync(join(tmpdir(), 'baton-bench-ledger-'));
  const file = join(folder, 'ledger');
  const ledger = new BenchLedger(file);
  try {
    expect(ledger.read()).toEqual([]);
    appendFileSync(file, '1 a#7 100 200\n2 a#7 3');
    expect(ledger.read().map(({ seq }) => seq)).toEqual([1]);
    appendFileSync(file, '00 400\n');
    expect(ledger.read()[1]).toEqual({ seq: 2, contender: 'a', process: 'a#7', startNs: 300n, endNs: 400n });
    expect([...ledger.finished]).toEqual([1, 2]);
  } finally {
    ledger.close();
    rmSync(folder, { recursive: true });
  }
});

test('what is no line of a ledger is refused', () => {
  expect(() => parseEntry('1 a 100')).toThrow("not a line of the bench's ledger: 1 a 100");
});
