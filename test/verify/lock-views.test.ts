import { compareViews, type Readings } from '../../src/verify/lock-views';

const holder = { region: 'us-east', pod: 'a-1', token: 12 };
const other = { region: 'us-west', pod: 'b-1', token: 9 };
const agreeing: Readings = {
  lock: 'orders',
  queue: 'orders',
  etcd: { holder },
  workflows: [
    { region: 'us-east', pods: 1, reading: { running: true, phase: 'active', tenure: holder, why: 'x' } },
    { region: 'us-west', pods: 1, reading: { running: true, phase: 'standby', tenure: null, why: 'x' } },
  ],
  pods: [
    { region: 'us-east', pod: 'a-1', reading: { holds: 12, ok: true, why: 'holds token 12' } },
    { region: 'us-west', pod: 'b-1', reading: { holds: null, ok: false, why: 'does not hold the lock' } },
  ],
  brokers: [
    { regions: ['us-east'], reading: { consumers: [holder], others: [] } },
    { regions: ['us-west'], reading: { consumers: [], others: [] } },
  ],
};
const compare = (more: Partial<Readings>) => compareViews({ ...agreeing, ...more });

test('four views that say the same', () => {
  expect(compare({})).toMatchObject({ verdict: 'agree', overlap: false, disagreements: [], holder });
});

test('nobody holds it, and everybody says so', () => {
  const [east, west] = agreeing.workflows;
  const found = compare({
    etcd: { holder: null },
    workflows: [{ ...east!, reading: west!.reading }, west!],
    pods: agreeing.pods.map((each) => ({ ...each, reading: { holds: null, ok: false, why: 'no' } })),
    brokers: agreeing.brokers.map((each) => ({ ...each, reading: { consumers: [], others: [] } })),
  });
  expect(found).toMatchObject({ verdict: 'agree', holder: null });
});

test.each<[string, Partial<Readings>, boolean, string]>([
  [
    'a workflow that believes in an older tenure',
    {
      workflows: [
        { region: 'us-west', pods: 1, reading: { running: true, phase: 'active', tenure: other, why: 'x' } },
      ],
    },
    false,
    'the workflow of us-west says us-west/b-1 with token 9, etcd says us-east/a-1 with token 12',
  ],
  [
    'a workflow that does not run, where pods wait',
    { workflows: [{ region: 'us-west', pods: 2, reading: { running: false } }] },
    false,
    'the workflow of us-west is not running: its 2 pods do not stand for the lock',
  ],
  [
    'a pod that believes to hold it, too',
    {
      pods: [
        agreeing.pods[0]!,
        { region: 'us-west', pod: 'b-1', reading: { holds: 9, ok: true, why: 'holds token 9' } },
      ],
    },
    true,
    '2 are at it at once: us-east/a-1, us-west/b-1',
  ],
  [
    'a holder that does not work',
    {
      pods: [
        { region: 'us-east', pod: 'a-1', reading: { holds: 12, ok: false, why: 'does not consume yet' } },
      ],
    },
    false,
    'us-east/a-1 holds the lock and does not work: does not consume yet',
  ],
  [
    'a broker without the consumer',
    { brokers: [{ regions: ['us-east'], reading: { consumers: [], others: [] } }] },
    false,
    'the broker of us-east has no consumer of orders, etcd says us-east/a-1 with token 12',
  ],
  [
    'a consumer in the other region',
    {
      brokers: [agreeing.brokers[0]!, { regions: ['us-west'], reading: { consumers: [other], others: [] } }],
    },
    true,
    'the broker of us-west has us-west/b-1 as consumer of orders, etcd says us-east/a-1 with token 12',
  ],
  [
    'somebody else at the queue',
    { brokers: [{ regions: ['us-east'], reading: { consumers: [holder], others: ['somebody else (x)'] } }] },
    true,
    '2 are at it at once: us-east/a-1, somebody else (x)',
  ],
])('%s disagrees', (_, more, overlap, sentence) => {
  const found = compare(more);
  expect(found).toMatchObject({ verdict: 'disagree', overlap });
  expect(found.disagreements).toContainEqual(sentence);
});

test.each<[string, Partial<Readings>]>([
  ['etcd', { etcd: { away: 'no answer' } }],
  ['a workflow', { workflows: [{ region: 'us-east', pods: 1, reading: { away: 'no answer' } }] }],
  ['a pod', { pods: [{ region: 'us-east', pod: 'a-1', reading: { away: 'no answer' } }] }],
  ['a broker', { brokers: [{ regions: ['us-east'], reading: { away: 'no answer' } }] }],
])('%s that is away makes it unknown', (_, more) => {
  expect(compare(more)).toMatchObject({ verdict: 'unknown', disagreements: [] });
});

test('what is not configured is said, and does not stand in the way of agreement', () => {
  const found = compare({ brokers: [{ regions: ['us-east'], reading: { unknown: 'is not configured' } }] });
  expect(found.verdict).toBe('agree');
  expect(found.views).toContainEqual(
    expect.objectContaining({ view: 'broker', reached: 'not-configured', says: 'is not configured' }),
  );
});

test('a region without pods needs no workflow', () => {
  const workflows = [
    agreeing.workflows[0]!,
    { region: 'us-west', pods: 0, reading: { running: false } as const },
  ];
  expect(compare({ workflows }).verdict).toBe('agree');
});
