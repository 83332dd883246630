import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CredentialFiles } from '../../src/config/credential-files';
import { Authority } from '../support/certificates';

const folder = mkdtempSync(join(tmpdir(), 'baton-credentials-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let nowMs = 0;
beforeEach(() => {
  nowMs = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
});
afterEach(() => jest.restoreAllMocks());

test('a pair that is replaced one file after the other is noticed when both are there', () => {
  const authority = new Authority(at('ca'));
  const [one, two] = [authority.issue('one'), authority.issue('two')];
  copyFileSync(one.certFile, at('cert'));
  copyFileSync(one.keyFile, at('key'));
  const files = new CredentialFiles({ certFile: at('cert'), keyFile: at('key') });
  const look = (): string | null => {
    nowMs += 10_000;
    return files.replaced();
  };
  expect(look()).toBeNull();
  writeFileSync(at('cert'), '-----BEGIN CERT');
  expect(look()).toBeNull();
  copyFileSync(two.certFile, at('cert'));
  expect(look()).toBeNull();
  copyFileSync(two.keyFile, at('key'));
  const state = look();
  expect(state).not.toBeNull();
  // Not taken by the server: asked for again, and not before its time.
  files.refuse();
  nowMs += 1_000;
  expect(files.replaced()).toBeNull();
  expect(look()).toBe(state);
  files.accept(state!);
  expect(look()).toBeNull();
});

test('files that disappear change nothing', () => {
  const authority = new Authority(at('ca2'));
  const one = authority.issue('one');
  const files = new CredentialFiles(one);
  rmSync(one.keyFile);
  nowMs += 10_000;
  expect(files.replaced()).toBeNull();
});
