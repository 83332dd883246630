import type { Payload } from '@temporalio/common';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const fromBase64 = (text: unknown): Buffer | null =>
  typeof text === 'string' ? Buffer.from(text, 'base64') : null;

/** Payloads as protobuf writes them in JSON: bytes in base64. `null` for everything else. */
export function decodePayloads(text: string): Payload[] | null {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(body) || !Array.isArray(body['payloads'])) return null;
  const payloads = body['payloads'].map((each) => decodePayload(each));
  return payloads.every((each) => each !== null) ? payloads : null;
}

function decodePayload(value: unknown): Payload | null {
  if (!isRecord(value)) return null;
  const { metadata = {}, data = '' } = value;
  const bytes = fromBase64(data);
  if (!isRecord(metadata) || !bytes) return null;
  const entries = Object.entries(metadata).map(([key, text]) => [key, fromBase64(text)] as const);
  if (entries.some(([, each]) => each === null)) return null;
  return { metadata: Object.fromEntries(entries) as Record<string, Uint8Array>, data: bytes };
}

export const encodePayloads = (payloads: Payload[]): unknown => ({
  payloads: payloads.map(({ metadata, data }) => ({
    metadata: Object.fromEntries(
      Object.entries(metadata ?? {}).map(([key, bytes]) => [key, Buffer.from(bytes).toString('base64')]),
    ),
    data: Buffer.from(data ?? []).toString('base64'),
  })),
});
