import { verifyText } from '../../src/cli/verify-text';
import { compareViews, type Readings } from '../../src/verify/lock-views';

const holder = { region: 'us-east', pod: 'a-1', token: 7 };
const readings = (...brokers: Readings['brokers']): Readings => ({
  lock: 'orders',
  queue: 'orders',
  etcd: { holder },
  workflows: [
    { region: 'us-east', pods: 1, reading: { running: true, phase: 'active', tenure: holder, why: 'holds' } },
  ],
  pods: [{ region: 'us-east', pod: 'a-1', reading: { holds: 7, ok: true, why: 'holds token 7' } }],
  brokers,
});
const firstLine = (of: Readings): string | undefined =>
  verifyText([{ ...compareViews(of), forMs: 0 }]).split('\n')[0];
const consumed: Readings['brokers'][number] = {
  regions: ['us-east'],
  reading: { consumers: [holder], others: [] },
};

test('only who was asked agrees; the others are named', () => {
  expect(firstLine(readings(consumed))).toBe('orders: etcd, workflows, pods and brokers agree');
  const unknown = { unknown: 'managementUrl is not set' };
  expect(firstLine(readings({ regions: ['us-east', 'us-west'], reading: unknown }))).toBe(
    'orders: etcd, workflows and pods agree; not asked: broker us-east, us-west',
  );
  expect(firstLine(readings(consumed, { regions: ['us-west'], reading: unknown }))).toBe(
    'orders: etcd, workflows, pods and brokers agree; not asked: broker us-west',
  );
});

test('a disagreement and an outage are said as before', () => {
  const none = { consumers: [], others: [] };
  expect(firstLine(readings({ regions: ['us-east'], reading: none }))).toBe('orders: they disagree');
  expect(firstLine(readings({ regions: ['us-east'], reading: { away: 'no answer' } }))).toBe(
    'orders: not everybody could be asked',
  );
});
