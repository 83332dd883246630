import { runSimulation, summaryOf } from '../simulation/run-simulation';

/** About a minute on two idle processors; many times that on a busy machine. */
test('ten thousand lives of a lock pass', async () => {
  const result = await runSimulation('--from', '1000000', '--seeds', '10000', '--json');
  const { seeds, tenures, switches, starts, messages, faults, failed } = summaryOf(result);
  expect([failed, failed.length > 0 ? result.stdout : '']).toEqual([[], '']);
  expect(result.code).toBe(0);
  // It did happen: nothing passes because nothing went on.
  expect(seeds).toBe(10_000);
  expect(starts).toBeGreaterThanOrEqual(messages);
  expect(tenures).toBeGreaterThan(seeds);
  expect(switches).toBeGreaterThan(seeds / 100);
  for (const count of Object.values(faults)) expect(count).toBeGreaterThan(100);
  expect(Object.keys(faults).length).toBeGreaterThan(25);
}, 1_200_000);
