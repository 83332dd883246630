import fc from 'fast-check';
import { markKinds } from '../../workflows/contract';
import { hostileJson, hostileText, nearly } from './hostile-values';
import { json, type Payload } from './raw-temporal';

const text = fc.oneof(
  { weight: 3, arbitrary: hostileText },
  { weight: 1, arbitrary: fc.constant('maintenance') },
);
/** Fields of every message, so that each has some that are right. */
const anyFields = nearly({
  pod: text,
  queue: text,
  why: text,
  token: fc.integer({ min: 1, max: 1_000 }),
  switchId: text,
  to: text,
  reason: text,
  by: text,
  region: text,
  verdict: fc.constantFrom('approve', 'veto'),
  waitFor: fc.constantFrom('deadline', 'nothing'),
  kind: fc.constantFrom('pause', 'resume', 'abort'),
  notAfter: fc.constantFrom(Date.now() + 3_600_000, 0),
});

const encodings = [
  'json/plain',
  'binary/plain',
  'binary/null',
  'json/protobuf',
  'binary/protobuf',
  'x/y',
  '',
];
const bytes = fc.uint8Array({ maxLength: 60 }).map((data) => Buffer.from(data));

/** What a payload can be, down to none at all. */
export const payloads: fc.Arbitrary<Payload[] | null> = fc.oneof(
  { weight: 10, arbitrary: anyFields.map((value) => [json(value)]) },
  { weight: 3, arbitrary: hostileJson.map((value) => [json(value)]) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(...encodings), bytes)
      .map(([encoding, data]) => [{ metadata: { encoding: Buffer.from(encoding) }, data }]),
  },
  { weight: 1, arbitrary: bytes.map((data) => [{ metadata: {}, data }]) },
  { weight: 1, arbitrary: bytes.map((data) => [{ metadata: { encoding: data, messageType: data }, data }]) },
  { weight: 1, arbitrary: fc.constantFrom<Payload[] | null>(null, [], [{}], [json(1), json(2), json(3)]) },
);

const wireText = text.filter((name) => name !== '' && name.length < 1_000 && !/\p{Surrogate}/u.test(name));

export const signalNames = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom(
      'gracefulSwitch',
      'podReady',
      'podStopping',
      'tenureEnded',
      'regionSettings',
      'control',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.oneof(wireText, fc.constantFrom('__temporal_x', '__stack_trace', 'status', 'force')),
  },
);
export const updateNames = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom('switchTo', 'abortSwitch', 'approve', 'preflight', 'force', ...markKinds),
  },
  { weight: 1, arbitrary: fc.oneof(wireText, fc.constantFrom('__temporal_x', 'podReady', 'status')) },
);
export const queryNames = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom('status', '__stack_trace', '__temporal_workflow_metadata') },
  {
    weight: 1,
    arbitrary: fc.oneof(wireText, fc.constantFrom('__enhanced_stack_trace', 'podReady', '__proto__')),
  },
);
