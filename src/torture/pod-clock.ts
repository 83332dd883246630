import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folders = ['/usr/lib', '/usr/local/lib'];
const library = 'faketime/libfaketimeMT.so.1';

/** libfaketime, or `null` where it is not installed. */
export function findFaketime(): string | null {
  const places = folders.flatMap((folder) =>
    existsSync(folder) ? [folder, ...readdirSync(folder).map((name) => join(folder, name))] : [],
  );
  return places.map((place) => join(place, library)).find(existsSync) ?? null;
}

/**
 * The wall clock of one pod's processes, by libfaketime. The monotonic clock stays the machine's: the ledgers need
 * one axis, so that a monotonic clock that runs at another rate is not part of the torture.
 */
export class PodClock {
  constructor(
    private readonly faketime: string,
    private readonly file: string,
  ) {
    this.set('+0');
  }

  get environment(): NodeJS.ProcessEnv {
    return {
      LD_PRELOAD: this.faketime,
      FAKETIME_TIMESTAMP_FILE: this.file,
      // How long a process may go on with the offset that it has read, in seconds.
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }

  /** Shows another time from now on, in whole seconds from the true one. */
  step(seconds: number): void {
    this.set(`${seconds < 0 ? '' : '+'}${Math.round(seconds)}`);
  }

  /** Runs at this rate from now on, 1 being the true one. */
  run(rate: number): void {
    this.set(`+0 x${rate.toFixed(3)}`);
  }

  private set(offset: string): void {
    writeFileSync(this.file, `${offset}\n`);
  }
}
