import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { BatonClient } from '../client/baton-client';
import { UnknownNameError } from '../client/errors';
import { isExpected } from '../client/expected-error';
import type { PreflightAnswer } from '../client/preflight';
import { couldSwitch, failuresOf } from '../client/preflight';
import { expectedGap } from '../../workflows/preflight';
import type { ActionRecord } from './feed-contract';

const name = z.string().min(1).max(63);
const reason = z.string({ error: 'a reason must be given' }).trim().min(1, 'a reason must be given').max(500);
const switchId = z.string().min(1).max(200).optional();

const actionSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('switch'), lock: name, to: name, reason }),
  z.strictObject({ action: z.enum(['pause', 'resume']), lock: name, reason }),
  z.strictObject({ action: z.enum(['approve', 'veto', 'abort']), lock: name, reason, switchId }),
]);
type Asked = z.infer<typeof actionSchema>;

const preflightSchema = z.strictObject({ lock: name, to: name });

/** A request that cannot be understood. Nothing was asked of anybody. */
export class BadRequestError extends Error {
  override readonly name = 'BadRequestError';
}

export interface PreflightReply extends PreflightAnswer {
  couldSwitch: boolean;
  /** What speaks against it; empty when nothing does. */
  failures: string;
  expectedGap: string;
}

/** What the page's buttons do, each in the name of who pressed it. */
export class DashboardActions {
  constructor(
    private readonly client: BatonClient,
    /** Called with each action when it begins, at each step, and with its outcome. */
    private readonly note: (action: ActionRecord) => void,
  ) {}

  /** Changes nothing. @throws BadRequestError, and what the client throws. */
  async preflight(body: unknown): Promise<PreflightReply> {
    const { lock, to } = read(preflightSchema, body);
    const answer = await this.named(() => this.client.preflight(lock, to));
    return {
      ...answer,
      couldSwitch: couldSwitch(answer),
      failures: failuresOf(answer),
      expectedGap: expectedGap(answer.recentGapsMs),
    };
  }

  /** Begins it and returns its record; how it goes on is told to `note`. @throws BadRequestError */
  begin(who: string, body: unknown): ActionRecord {
    const asked = read(actionSchema, body);
    this.checkNames(asked);
    let record: ActionRecord = {
      id: asked.action === 'switch' ? randomUUID() : `${asked.action}-${randomUUID()}`,
      lock: asked.lock,
      action: asked.action,
      to: asked.action === 'switch' ? asked.to : null,
      reason: asked.reason,
      by: who,
      at: Date.now(),
      steps: [],
      outcome: 'running',
      why: '',
    };
    const update = (change: Partial<ActionRecord>): void => {
      record = { ...record, ...change };
      this.note(record);
    };
    update({});
    void this.carryOut(asked, record, (line) => update({ steps: [...record.steps, line] })).then(
      (why) => update({ outcome: 'done', why }),
      (error: unknown) =>
        update({
          outcome: 'failed',
          why: isExpected(error) ? error.message : `unexpected: ${String(error)}`,
        }),
    );
    return record;
  }

  private async carryOut(
    asked: Asked,
    { id, by }: ActionRecord,
    onStep: (line: string) => void,
  ): Promise<string> {
    const { client } = this;
    const { lock } = asked;
    const who = { reason: asked.reason, by };
    switch (asked.action) {
      case 'switch':
        return (await client.switchTo({ ...who, lock, to: asked.to, switchId: id, onStep })).why;
      case 'pause':
      case 'resume':
        return (await client[asked.action](lock, who)).why;
      case 'approve':
      case 'veto':
        return client[asked.action](lock, who, asked.switchId);
      case 'abort':
        return (await client.abort(lock, who, asked.switchId)).why;
    }
  }

  private checkNames(asked: Asked): void {
    const { locks, regions } = this.client.config;
    if (!locks.some((each) => each.name === asked.lock))
      throw new BadRequestError(`lock ${asked.lock} is not in the configuration`);
    if (asked.action === 'switch' && !regions.some((each) => each.name === asked.to))
      throw new BadRequestError(`region ${asked.to} is not in the configuration`);
  }

  private async named<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof UnknownNameError) throw new BadRequestError(error.message, { cause: error });
      throw error;
    }
  }
}

function read<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new BadRequestError(
    parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`).join('; '),
  );
}
