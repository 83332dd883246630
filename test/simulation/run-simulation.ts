import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

export interface Simulated {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command in a process of its own: its clocks and timers are not this one's. */
export function runSimulation(...args: string[]): Promise<Simulated> {
  const main = resolve(__dirname, '../../dist/src/simulation/main.js');
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => done({ code, stdout, stderr }));
  });
}

interface Summary {
  seeds: number;
  messages: number;
  starts: number;
  tenures: number;
  switches: number;
  faults: Record<string, number>;
  failed: { seed: number; violations: { rule: string; what: string }[] }[];
}

export const summaryOf = ({ stdout }: Simulated): Summary =>
  JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Summary;
