import { RegionFixture } from './region-fixture';

jest.setTimeout(180_000);

let fixture: RegionFixture;
beforeEach(async () => (fixture = await RegionFixture.create()));
afterEach(() => fixture.close());

/** The region, with a candidate that came before those of other regions. */
async function active() {
  const { pod, tenure } = await fixture.active();
  const north = `north-${fixture.west}`;
  const [first, second] = [await fixture.pod('n1', north), await fixture.pod('w1', fixture.west)];
  return { pod, tenure, north, first, second };
}

it('a switch to no region in particular goes to the preferred one', async () => {
  const { second } = await active();
  fixture.truth.preference.order = [fixture.west];
  await fixture.ask('s1');
  const { lastSwitches } = await fixture.until({ lastSwitches: [{ result: 'done' }] });
  expect(lastSwitches[0]?.receipt?.to?.pod).toBe(second.pod);
});

it('a switch to a region that may never be active is refused, by name', async () => {
  const { pod, second, first } = await active();
  fixture.truth.preference.never = [fixture.west];
  await fixture.ask('s1', fixture.west);
  await fixture.until({
    phase: 'active',
    lastSwitches: [
      {
        result: 'refused',
        why: expect.stringContaining(`${fixture.west} may never be active (preference.never)`),
      },
    ],
  });
  expect(pod.callsOf('drainAndHandOver')).toEqual([]);
  expect(await fixture.preflight(fixture.east)).toMatchObject({
    answer: {
      able: [first.region],
      checks: expect.arrayContaining([
        expect.objectContaining({ check: 'may be active', region: first.region, passed: true }),
        expect.objectContaining({ check: 'may be active', region: second.region, passed: false }),
      ]),
    },
  });
  await fixture.ask('s2');
  await fixture.until({ lastSwitches: [{ result: 'done', receipt: { to: { pod: first.pod } } }, {}] });
});

it('the lock goes back to the region that its holder names', async () => {
  const { pod, second } = await active();
  const renew = pod.renewLease.bind(pod);
  pod.renewLease = async (input) => {
    const failback = { to: fixture.west, why: `${fixture.west} is preferred` };
    const result = await renew(input);
    return result.outcome === 'extended' ? { ...result, failback } : result;
  };
  const status = await fixture.until({ phase: 'standby', lastSwitches: [{ result: 'done', by: 'baton' }] });
  expect(status.lastSwitches[0]).toMatchObject({
    switchId: expect.stringMatching(new RegExp(`^failback-${fixture.east}-\\d+-\\d+$`)),
    to: fixture.west,
    reason: `failback: ${fixture.west} is preferred`,
    receipt: { to: { pod: second.pod } },
  });
  await fixture.record('failback');
});
