import { fields, span, table } from '../../src/cli/table';

test('columns are aligned, and only the last one is cut', () => {
  expect(
    table(
      ['A', 'WHY'],
      [
        ['long name', 'a sentence that does not fit at all'],
        ['x', ''],
      ],
      32,
    ),
  ).toBe(['A          WHY', 'long name  a sentence that does…', 'x'].join('\n'));
});

test('wide characters count as two columns', () => {
  expect(
    table(
      ['A', 'B'],
      [
        ['日本', 'x'],
        ['ab', 'y'],
      ],
    ),
  ).toBe('A     B\n日本  x\nab    y');
});

test('fields', () => {
  expect(
    fields([
      ['from', 'a'],
      ['switch id', 'b'],
    ]),
  ).toBe('from       a\nswitch id  b');
});

test.each([
  [-5, '0 ms'],
  [41.4, '41 ms'],
  [8000, '8s'],
  [725_000, '12m 5s'],
  [3_600_000, '1h'],
  [273_600_000, '3d 4h'],
])('%d ms is %s', (ms, expected) => expect(span(ms)).toBe(expected));
