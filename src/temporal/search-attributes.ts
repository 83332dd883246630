import type { Client, OperatorService } from '@temporalio/client';
import { searchAttributeKeys } from '../../workflows/search-attributes';
import { reasonOf } from './temporal-away-error';

/** temporal.api.enums.v1.IndexedValueType */
const valueTypes = { KEYWORD: 2, INT: 3 } as const;
const limitMs = 5_000;

export type Registration = { registered: true } | { registered: false; why: string };

/**
 * Makes sure that the namespace has the four search attributes; may be repeated. A server that does not let
 * us (Temporal Cloud, a refused permission) does without them: the answer then says why.
 */
export async function registerSearchAttributes(client: Client): Promise<Registration> {
  const { namespace } = client.options;
  const { operatorService } = client.connection as Client['connection'] & {
    operatorService: OperatorService;
  };
  const wanted = Object.values(searchAttributeKeys);
  try {
    return await client.withDeadline(Date.now() + limitMs, async () => {
      const names = await missingSearchAttributes(client);
      const missing = wanted.filter(({ name }) => names.includes(name));
      if (missing.length > 0)
        await operatorService.addSearchAttributes({
          namespace,
          searchAttributes: Object.fromEntries(missing.map(({ name, type }) => [name, valueTypes[type]])),
        });
      return { registered: true };
    });
  } catch (error) {
    return { registered: false, why: reasonOf(error) };
  }
}

/** Names of those that the namespace does not have. Rejects where the server does not tell, after five seconds at most. */
export async function missingSearchAttributes(client: Client): Promise<string[]> {
  const { namespace } = client.options;
  const { operatorService } = client.connection as Client['connection'] & {
    operatorService: OperatorService;
  };
  const { customAttributes } = await client.withDeadline(Date.now() + limitMs, () =>
    operatorService.listSearchAttributes({ namespace }),
  );
  return Object.values(searchAttributeKeys)
    .map(({ name }) => name)
    .filter((name) => customAttributes[name] === undefined);
}
