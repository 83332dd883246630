import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporal } from '@temporalio/proto';

/**
 * Recorded histories as JSON. Not by the SDK's `historyToJSON`: it throws `type must be a Type` where npm has
 * installed protobufjs more than once, as here.
 */
const folder = join(__dirname, '..', 'histories');
const History = temporal.api.history.v1.History;
type HistoryMessage = temporal.api.history.v1.IHistory;

export const historyNames = (): string[] =>
  readdirSync(folder).flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : []));

export function writeHistory(name: string, history: HistoryMessage): void {
  const plain = History.toObject(History.fromObject(history), {
    longs: String,
    enums: String,
    bytes: String,
  });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(plain, null, 1)}\n`);
}

export const readHistory = (name: string): HistoryMessage =>
  History.fromObject(JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as object);
