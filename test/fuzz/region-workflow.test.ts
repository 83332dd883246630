import fc from 'fast-check';
import { temporal } from '@temporalio/proto';
import { RegionFixture } from '../workflows/region-fixture';
import { fuzzLimitMs, fuzzSample } from './fuzz-runs';
import { payloads, queryNames, signalNames, updateNames } from './hostile-messages';
import { RawTemporal } from './raw-temporal';
void temporal;
jest.setTimeout(fuzzLimitMs(120_000));

let fixture: RegionFixture;
afterEach(() => fixture.close());

const sample = <T>(what: fc.Arbitrary<T>, runs: number): T[] => fc.sample(what, fuzzSample(runs));

async function failedTasks(): Promise<string[]> {
  const { events } = await fixture.handle().fetchHistory();
  return (events ?? []).flatMap((event) => {
    const failed = event.workflowTaskFailedEventAttributes;
    return failed ? [`${failed.cause}: ${failed.failure?.message}`] : [];
  });
}

it('takes any signal, update and query', async () => {
  fixture = await RegionFixture.create();
  const { pod } = await fixture.active();
  const raw = new RawTemporal(fixture.temporal, fixture.handle().workflowId);
  const answers: string[] = [];
  for (const [name, input] of sample(fc.tuple(signalNames, payloads), 300)) {
    try {
      await raw.signal(name, input);
    } catch (e) {
      answers.push(`signal ${name}: ${(e as Error).message}`);
    }
  }
  console.log(await fixture.status(), answers.slice(0, 20));
  await Promise.all(
    sample(fc.tuple(updateNames, payloads), 200).map(async ([name, input]) => {
      try {
        answers.push(`update ${name.slice(0, 20)}: ` + (await raw.update(name, input, 20_000)));
      } catch (e) {
        answers.push(`ERR update ${name}: ${(e as Error).message}`);
      }
    }),
  );
  for (const [name, input] of sample(fc.tuple(queryNames, payloads), 60))
    answers.push(`query ${name.slice(0, 20)}: ` + (await raw.query(name, input)));
  console.log([...new Set(answers.map((a) => a.slice(0, 150)))].join('\n'));
  console.log(await failedTasks(), pod.pod);
  console.log(JSON.stringify(await fixture.status()).slice(0, 3000));
});
