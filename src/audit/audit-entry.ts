import { createHash } from 'node:crypto';
import type { Receipt } from '../../workflows/contract';

/** What happened, as a pod saw it. */
export type AuditEvent =
  /** A change of holder; once when it was made, and again when its first message or a hook's answer completed it. */
  | { kind: 'receipt'; lock: string; receipt: Receipt }
  /** A region workflow's decision, by the pod that ran it. */
  | { kind: 'transition'; lock: string; region: string; phase: string; why: string; workflowRun: string }
  /** This pod's own tenure. */
  | { kind: 'tenure'; lock: string; event: string; token: number; why: string }
  /** The pod began to write; `cutOff`: its last line before was cut off by a crash, with this hash. */
  | { kind: 'opened'; version: string; cutOff?: string };

export interface AuditEntry {
  /** From 1, without a hole. */
  seq: number;
  /** Only in a table: by which an entry is written once, however often it is tried. */
  id?: string;
  /** ISO 8601, by the pod's wall clock. */
  at: string;
  region: string;
  pod: string;
  event: AuditEvent;
  /** SHA-256 of the line before, in hexadecimal digits; zeros in the first line. */
  previous: string;
}

/** Where entries go. Nothing of it throws or keeps anybody waiting. */
export interface AuditRecord {
  append(event: AuditEvent): void;
  /** Resolves when everything has been written, or could not be. Idempotent. */
  close(): Promise<void>;
}

export const firstPrevious = '0'.repeat(64);

/** Of a line as it stands in the file, without its line end. */
export const hashOf = (line: string): string => createHash('sha256').update(line).digest('hex');
