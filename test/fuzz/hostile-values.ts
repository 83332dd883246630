import fc from 'fast-check';

/** Text that breaks what is careless about names, keys, terminals or encodings. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '',
    ' ',
    '/',
    '.',
    '..',
    '../..',
    'a/b',
    'a//b',
    '/_sys/x',
    '\0',
    'a\0b',
    '%2e%2e%2f',
    '%s%n%d',
    '\n\r\t',
    '\u001b[2J\u001b]0;x\u0007',
    // Half of a pair: no UTF-8 has it.
    '\ud800',
    `x\udfff`,
    // Cut to size, a pair becomes one.
    `${'x'.repeat(199)}\u{1f600}`,
    `${'x'.repeat(498)}\u{1f600}\u{1f600}`,
    `${'x'.repeat(499)}\u{1f600}`,
    '\u202e\u2066',
    '__proto__',
    'constructor',
    'toString',
    'null',
    'NaN',
    '-1',
    '1e999',
    '${jndi:ldap://x}',
    "'; DROP TABLE x; --",
    'x'.repeat(200),
    'x'.repeat(201),
    'x'.repeat(100_000),
    'ä'.repeat(150),
  ),
);

export const hostileNumber: fc.Arbitrary<number> = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(
    0,
    -0,
    -1,
    1,
    0.5,
    NaN,
    Infinity,
    -Infinity,
    Number.MAX_SAFE_INTEGER,
    Number.MAX_SAFE_INTEGER + 2,
    Number.MAX_VALUE,
    -Number.MAX_VALUE,
    2 ** 31,
    2 ** 53,
    2 ** 63,
  ),
);

/** What JSON can carry, with names that mean something to JavaScript. */
export const hostileJson: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ stringUnit: 'binary' }),
  hostileText,
  hostileNumber,
  fc.constantFrom<unknown>(
    null,
    undefined,
    true,
    [],
    {},
    [[]],
    [null],
    JSON.parse('{"__proto__": {"polluted": true}}'),
    JSON.parse('{"constructor": {"prototype": {"polluted": true}}}'),
    { toString: null, valueOf: null },
    { valueOf: 1 },
    { length: -1 },
    nested(2_000),
  ),
);

function nested(depth: number): unknown {
  let value: unknown = 'the end';
  for (let level = 0; level < depth; level++) value = level % 2 ? [value] : { value };
  return value;
}

/** An object of these fields: each one right, wrong in any way, or missing. */
export const nearly = (fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> =>
  fc.record(
    Object.fromEntries(
      Object.entries(fields).map(([name, right]) => [
        name,
        fc.oneof({ weight: 3, arbitrary: right }, { weight: 2, arbitrary: hostileJson }),
      ]),
    ),
    { requiredKeys: [] },
  );

/** Values of every kind in the places of `valid`: swapped, removed, or with something beside them. */
export function mutationOf(valid: unknown): fc.Arbitrary<unknown> {
  const places = pathsOf(valid);
  return fc
    .array(fc.record({ path: fc.constantFrom(...places), change: change() }), { minLength: 1, maxLength: 3 })
    .map((changes) => {
      let mutant: unknown = structuredClone(valid);
      for (const each of changes) mutant = changed(mutant, each.path, each.change);
      return mutant;
    });
}

type Change =
  { kind: 'put'; value: unknown } | { kind: 'remove' } | { kind: 'add'; name: string; value: unknown };

const change = (): fc.Arbitrary<Change> =>
  fc.oneof(
    { weight: 3, arbitrary: hostileJson.map((value): Change => ({ kind: 'put', value })) },
    { weight: 1, arbitrary: fc.constant<Change>({ kind: 'remove' }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(hostileText, hostileJson)
        .map(([name, value]): Change => ({ kind: 'add', name, value })),
    },
  );

function pathsOf(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, inner]) => pathsOf(inner, [...path, name]))];
}

function changed(value: unknown, [first, ...rest]: string[], how: Change): unknown {
  const isObject = typeof value === 'object' && value !== null;
  if (first === undefined) {
    if (how.kind === 'put') return how.value;
    if (how.kind === 'remove' || !isObject) return undefined;
    return Array.isArray(value) ? [...(value as unknown[]), how.value] : { ...value, [how.name]: how.value };
  }
  // An earlier change has taken the place away.
  if (!isObject) return value;
  const inner = changed((value as Record<string, unknown>)[first], rest, how);
  if (Array.isArray(value))
    return value.map((each: unknown, index) => (String(index) === first ? inner : each));
  const { [first]: _, ...others } = value as Record<string, unknown>;
  return inner === undefined ? others : { ...others, [first]: inner };
}
