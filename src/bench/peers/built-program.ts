import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { findProgram, programCache } from '../../dev/find-program';
import { lowerPriority } from '../../dev/lower-priority';
import { Reaper } from '../../dev/reaper';

/** One call of a compiler or an installer. */
export interface BuildStep {
  program: string;
  args: string[];
  folder: string;
}

export interface Say {
  (line: string): void;
}

const ALIVE_EVERY_MS = 30_000;
const OUTPUT_KEPT = 100_000;
const STAMP_DIGITS = 12;
/** Builds of other sources are removed at this age: younger ones may belong to another working copy that runs now. */
const OUTDATED_MS = 7 * 24 * 3_600_000;

/** The sources of the peers that are not TypeScript: they stay where they are when the rest is compiled to dist/. */
export const sourceFolder = existsSync(join(__dirname, 'curator', 'pom.xml'))
  ? __dirname
  : resolve(__dirname, '../../../../src/bench/peers');

/**
 * A program that the bench builds from sources of its own, once per machine: it is kept in the tool cache, under a
 * name that changes with the sources.
 */
export class BuiltProgram {
  private chosen: string | undefined;

  constructor(
    private readonly name: string,
    /** Folders below {@link sourceFolder}, or absolute ones, on which the result depends. */
    private readonly sources: string[],
    /** What is said while it takes long. */
    private readonly duration: string,
    /** The steps that leave everything needed in `into`. @throws Error when a tool is missing. */
    private readonly steps: (into: string) => BuildStep[],
  ) {}

  /** Where the result is, or will be: that of the sources as they were when this was first asked for. */
  get folder(): string {
    this.chosen ??= join(peerCache(), `${this.name}-${this.stamp()}`);
    return this.chosen;
  }

  /**
   * Builds it unless that was done before. Nothing half-built is left behind, however this process ends.
   * @throws Error with one sentence in its first line: which tool is missing, or what the compiler said.
   */
  async build(say: Say, signal?: AbortSignal): Promise<void> {
    if (existsSync(this.folder)) return;
    mkdirSync(peerCache(), { recursive: true });
    const building = mkdtempSync(join(peerCache(), 'building-'));
    const reaper = new Reaper();
    reaper.watchFolder(building);
    const began = performance.now();
    const seconds = (): string => `${Math.round((performance.now() - began) / 1000)} s`;
    const alive = setInterval(
      () => say(`building ${this.name}: still at it after ${seconds()}`),
      ALIVE_EVERY_MS,
    );
    try {
      const steps = this.steps(building);
      say(`building ${this.name} (${this.duration}, once per machine)`);
      for (const step of steps) await run(step, reaper, signal);
      this.putInPlace(building);
      say(`building ${this.name}: done in ${seconds()}`);
    } finally {
      clearInterval(alive);
      await reaper.close();
    }
  }

  private stamp(): string {
    const hash = createHash('sha256');
    for (const source of this.sources)
      for (const file of readdirSync(resolve(sourceFolder, source)).toSorted())
        hash
          // Where the working copy is makes no difference.
          .update(`${basename(source)}/${file}\n`)
          .update(readFileSync(resolve(sourceFolder, source, file)))
          .update('\n');
    return hash.digest('hex').slice(0, STAMP_DIGITS);
  }

  private putInPlace(building: string): void {
    for (const entry of readdirSync(peerCache())) {
      const path = join(peerCache(), entry);
      if (isBuildOf(this.name, entry) && Date.now() - statSync(path).mtimeMs > OUTDATED_MS)
        rmSync(path, { recursive: true, force: true });
    }
    try {
      renameSync(building, this.folder);
    } catch (error) {
      // Another bench has built the same meanwhile.
      if (!existsSync(this.folder)) throw error;
    }
  }
}

/** The path of a build tool. @throws Error saying that it is missing. */
export function toolPath(name: string): string {
  try {
    return findProgram(name);
  } catch (error) {
    throw new Error(`there is no ${name} on PATH`, { cause: error });
  }
}

/** `go build` of the main package in a folder below {@link sourceFolder} (or an absolute one), or of another package of its module. */
export function goBuild(folder: string, output: string, packageName = '.'): BuildStep {
  const flags = ['-trimpath', '-buildvcs=false', '-ldflags=-s -w'];
  return {
    program: toolPath('go'),
    args: ['build', ...flags, '-o', output, packageName],
    folder: resolve(sourceFolder, folder),
  };
}

const peerCache = (): string => join(dirname(programCache()), 'peers');

const isBuildOf = (name: string, entry: string): boolean =>
  entry.startsWith(`${name}-`) && /^[0-9a-f]+$/.test(entry.slice(name.length + 1));

async function run(step: BuildStep, reaper: Reaper, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const child = spawn(step.program, step.args, {
    cwd: step.folder,
    env: { ...process.env, ...reaper.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Leads its own group, so that the reaper can end all of it.
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output = (output + String(chunk)).slice(-OUTPUT_KEPT)));
  if (child.pid !== undefined) {
    reaper.watch(child.pid, { group: true });
    // Whatever else happens on the machine goes first.
    lowerPriority(child.pid);
  }
  const code = await new Promise<number | null>((done, fail) => {
    const interrupt = (): void => fail(signal?.reason as Error);
    signal?.addEventListener('abort', interrupt, { once: true });
    child.once('error', fail);
    child.once('close', (status) => {
      signal?.removeEventListener('abort', interrupt);
      done(status);
    });
  });
  if (code === 0) return;
  const command = [step.program, ...step.args].join(' ');
  throw new Error(`${reasonIn(output)}\nthis failed: ${command} (in ${step.folder})\n${output}`);
}

/** The line of a compiler's output that most likely says what went wrong. */
function reasonIn(output: string): string {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('go: downloading'));
  return (
    lines.find((line) => /error|fail|cannot|unable/i.test(line)) ?? lines.at(-1) ?? 'it ended without a word'
  );
}
