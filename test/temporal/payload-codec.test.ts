import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { KeyRing, MissingKeyError } from '../../src/temporal/key-ring';
import { SealingCodec } from '../../src/temporal/payload-codec';
import { sealedWorkflowBundle } from '../../src/temporal/workflow-bundle';

const folder = mkdtempSync(join(tmpdir(), 'baton-keys-'));
const writeKey = (id: string, key = randomBytes(32).toString('base64')): void =>
  writeFileSync(join(folder, id), key);
beforeAll(() => {
  writeKey('k1');
  writeKey('k2', randomBytes(32).toString('hex'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const payload = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);
const codec = (keyId: string | null, told?: (error: MissingKeyError) => void): SealingCodec =>
  new SealingCodec(new KeyRing(folder, keyId), told);
const value = { reason: 'a reason that only we may read' };

test('what one key has sealed is unreadable, and opened by every codec that has the key', async () => {
  const [sealed] = await codec('k1').encode([payload(value)]);
  expect(Buffer.from(sealed!.data!).toString('latin1')).not.toContain('reason');
  // k1 is an old key there, and the only one that is known at all.
  for (const other of [codec('k2'), codec(null)])
    expect(defaultPayloadConverter.fromPayload((await other.decode([sealed!]))[0]!)).toEqual(value);
});

test('the same payload is sealed differently each time', async () => {
  const [one, other] = await codec('k1').encode([payload(value), payload(value)]);
  expect(Buffer.from(one!.data!).equals(Buffer.from(other!.data!))).toBe(false);
});

test('a plain payload is passed on, and without an active key stays plain', async () => {
  const plain = payload(value);
  expect(await codec('k1').decode([plain])).toEqual([plain]);
  expect(await codec(null).encode([plain])).toEqual([plain]);
});

test('a sealed payload is not sealed a second time', async () => {
  const [sealed] = await codec('k1').encode([payload(value)]);
  expect(await codec('k2').encode([sealed!])).toEqual([sealed]);
});

test.each([
  ['a changed byte', (data: Uint8Array) => data.with(20, data[20]! ^ 1)],
  ['a missing end', (data: Uint8Array) => data.subarray(0, -1)],
  ['nothing at all', () => new Uint8Array()],
])('%s is passed on unopened: it is unreadable for everybody alike', async (_, change) => {
  const [sealed] = await codec('k1').encode([payload(value)]);
  const forged = { ...sealed!, data: change(sealed!.data!) };
  const [opened] = await codec('k1').decode([forged]);
  expect(() => defaultPayloadConverter.fromPayload(opened!)).toThrow('binary/baton-aes-256-gcm');
});

test('a key that is missing is named, told once, and found when its file is there', async () => {
  writeKey('k3');
  const [sealed] = await codec('k3').encode([payload(value)]);
  rmSync(join(folder, 'k3'));
  const told: string[] = [];
  const without = codec('k1', ({ keyId }) => told.push(keyId));
  for (let i = 0; i < 2; i += 1) await expect(without.decode([sealed!])).rejects.toThrow(MissingKeyError);
  await expect(without.decode([sealed!])).rejects.toThrow(
    `a payload is encrypted with the key k3, which is missing here: temporal.encryption.keysFolder ${folder} has only k1, k2`,
  );
  await expect(new SealingCodec(new KeyRing(null, null)).decode([sealed!])).rejects.toThrow(
    'temporal.encryption.keysFolder is not set',
  );
  // Any key under its name: what it does not open holds nobody up.
  writeKey('k3');
  await sleep(1_100);
  expect(await without.decode([sealed!])).toEqual([sealed]);
  expect(told).toEqual(['k3']);
});

test('a label that no key can have is as good as none', async () => {
  const [sealed] = await codec('k1').encode([payload(value)]);
  const odd = { ...sealed!, metadata: { ...sealed!.metadata, 'baton-key-id': Buffer.from('../k1') } };
  expect(await codec('k1').decode([odd])).toEqual([odd]);
});

test("the bundle for workers that encrypt differs in the failures' texts alone", () => {
  expect(sealedWorkflowBundle()).toContain('baton-failure-texts:sealed');
});
