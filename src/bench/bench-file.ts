import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { dirname, resolve } from 'node:path';
import { UsageError } from '../cli/command-line';
import { findProgram } from '../dev/find-program';
import { version } from '../version';
import type { BenchReport } from './bench';

/** What the figures depend on. */
export interface Conditions {
  date: string;
  baton: string;
  /** With `+` when files differ from it; `null` outside of a git repository. */
  commit: string | null;
  node: string;
  cpu: string;
  cores: number;
  memoryGb: number;
  kernel: string;
  /** By program, as far as it says so. */
  servers: Record<string, string>;
  /** The run's own arguments. */
  arguments: string[];
}

export interface BenchFile extends BenchReport {
  conditions: Conditions;
}

const commandLimitMs = 5_000;

export function readConditions(argv: string[]): Conditions {
  const [cpu] = os.cpus();
  return {
    date: new Date().toISOString(),
    baton: version,
    commit: commit(),
    node: process.version,
    cpu: cpu?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    kernel: `${os.type()} ${os.release()} ${os.arch()}`,
    servers: serverVersions(),
    arguments: argv,
  };
}

/** One line per condition. */
export function conditionsText(conditions: Conditions): [string, string][] {
  const { date, baton, commit: at, node, cpu, cores, memoryGb, kernel, servers } = conditions;
  const found = Object.entries(servers).map(([name, text]) => `${name} ${text}`);
  return [
    ['date', date],
    ['baton', at === null ? baton : `${baton}, commit ${at}`],
    ['machine', `${cpu}, ${cores} cores, ${memoryGb} GB, ${kernel}`],
    ['software', [`node ${node}`, ...found].join(', ')],
    ['arguments', conditions.arguments.join(' ') || 'none'],
  ];
}

export function writeBenchFile(file: string, content: BenchFile): void {
  mkdirSync(dirname(resolve(file)), { recursive: true });
  writeFileSync(file, `${JSON.stringify(content)}\n`);
}

/** @throws UsageError when the file is not there or not one of `--out`. */
export function readBenchFile(option: string, file: string): BenchFile {
  let content: Partial<BenchFile>;
  try {
    content = JSON.parse(readFileSync(file, 'utf8')) as Partial<BenchFile>;
  } catch (error) {
    throw new UsageError(
      `${option} is "${file}": must be a file written by --out (${(error as Error).message})`,
    );
  }
  const complete =
    Array.isArray(content.results) &&
    content.results.every(({ samples }) => Array.isArray(samples)) &&
    content.conditions !== undefined;
  if (!complete)
    throw new UsageError(`${option} is "${file}": must be a file written by --out, with samples`);
  return content as BenchFile;
}

function commit(): string | null {
  const head = said('git', ['-C', __dirname, 'rev-parse', '--short=12', 'HEAD']);
  if (head === null) return null;
  const changed = said('git', ['-C', __dirname, 'status', '--porcelain', '--untracked-files=no']);
  return changed === '' ? head : `${head}+`;
}

function serverVersions(): Record<string, string> {
  const ask: [string, string[]][] = [
    ['etcd', ['--version']],
    ['temporal', ['--version']],
    ['toxiproxy-server', ['--version']],
  ];
  const found = ask.map(([name, args]): [string, string | undefined] => [
    name,
    /\d+\.\d+(\.\d+)?/.exec(saidBy(name, args) ?? '')?.[0],
  ]);
  return Object.fromEntries(found.filter((each): each is [string, string] => each[1] !== undefined));
}

function saidBy(name: string, args: string[]): string | null {
  try {
    return said(findProgram(name), args);
  } catch {
    return null; // Given by its address: its version is not known here.
  }
}

function said(program: string, args: string[]): string | null {
  try {
    return execFileSync(program, args, {
      encoding: 'utf8',
      timeout: commandLimitMs,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return null;
  }
}
