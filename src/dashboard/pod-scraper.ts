import type { Figures, PodCard, Totals } from './feed-contract';
import { figuresBetween, noFigures, type PodReading, readPodMetrics, totalsOf } from './pod-figures';

/** Figures are of the time since the oldest reading that is younger than this. */
const windowMs = 10_000;
const requestLimitMs = 1_500;
const maxBytes = 4_000_000;
const atOnce = 8;
const addressPattern = /^(?:[A-Za-z0-9.-]+|\[[\da-fA-F:.]+\]):\d{1,5}$/;

interface Scraped {
  readings: PodReading[];
  health: PodCard['health'];
}

/** Asks the pods' own endpoints, each once however many locks it has. A pod that does not answer is a finding. */
export class PodScraper {
  private readonly pods = new Map<string, Scraped>();

  /** Forgets who is not asked any more. */
  async scrape(addresses: Set<string>): Promise<void> {
    for (const known of this.pods.keys()) if (!addresses.has(known)) this.pods.delete(known);
    const waiting = [...addresses];
    const work = async (): Promise<void> => {
      for (let address = waiting.pop(); address !== undefined; address = waiting.pop())
        await this.scrapeOne(address);
    };
    await Promise.all(Array.from({ length: atOnce }, work));
  }

  health(address: string | undefined): PodCard['health'] {
    if (address === undefined) return { verdict: 'not-asked', why: 'it does not tell its address' };
    return this.pods.get(address)?.health ?? { verdict: 'not-asked', why: 'not asked yet' };
  }

  figures(address: string | undefined, lock: string): Figures {
    const readings = this.pods.get(address ?? '')?.readings ?? [];
    const now = readings.at(-1);
    return now ? figuresBetween(readings[0], now, lock) : noFigures;
  }

  totals(address: string | undefined, lock: string): Totals | null {
    return totalsOf(this.pods.get(address ?? '')?.readings.at(-1), lock);
  }

  private async scrapeOne(address: string): Promise<void> {
    const known = this.pods.get(address) ?? { readings: [], health: { verdict: 'not-asked', why: '' } };
    this.pods.set(address, known);
    try {
      // It comes from etcd: nothing but a host and a port may be in it.
      if (!addressPattern.test(address)) throw new Error('this is not an address');
      const [ready, metrics] = await Promise.all([get(address, '/readyz'), get(address, '/metrics')]);
      const at = Date.now();
      known.readings = known.readings.filter((reading) => at - reading.at < windowMs);
      known.readings.push(readPodMetrics(metrics.body, at));
      known.health = { verdict: ready.ok ? 'ok' : 'bad', why: whyOf(ready.body) };
    } catch (error) {
      known.readings = [];
      known.health = { verdict: 'away', why: `no answer from ${address}: ${reasonOf(error)}` };
    }
  }
}

async function get(address: string, path: string): Promise<{ ok: boolean; body: string }> {
  const response = await fetch(`http://${address}${path}`, {
    redirect: 'error',
    signal: AbortSignal.timeout(requestLimitMs),
  });
  const body = await response.text();
  if (body.length > maxBytes) throw new Error('its answer is too long');
  return { ok: response.ok, body };
}

/** `/readyz` answers with a reason for each lock. */
function whyOf(body: string): string {
  try {
    const { why, locks } = JSON.parse(body) as { why?: unknown; locks?: { ok?: unknown; why?: unknown }[] };
    const bad = (locks ?? []).filter(({ ok }) => ok === false).map((lock) => String(lock.why));
    return bad.length > 0 ? bad.join('; ') : typeof why === 'string' ? why : '';
  } catch {
    // Something else answers there.
    return 'its answer could not be read';
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
