import { readFileSync } from 'node:fs';
import { ConfigError } from '../config/config-error';

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$/;
const minLength = 16;

/**
 * One `name: token` a line; empty lines and those beginning with `#` are passed over. The name stands in the receipts
 * of what its owner does.
 * @throws ConfigError naming the line, never a token.
 */
export function readTokenFile(file: string): { who: string; token: string }[] {
  const wrong = (where: string, expected: string): ConfigError =>
    new ConfigError([{ setting: '--token-file', value: where, expected }]);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw wrong(file, `must be a readable file: ${(error as Error).message}`);
  }
  const tokens: { who: string; token: string }[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.trim().startsWith('#')) continue;
    const where = `${file}:${index + 1}`;
    const [, who = '', token = ''] = /^\s*([^:\s]+)\s*:\s*(\S+)\s*$/.exec(line) ?? [];
    if (!namePattern.test(who)) throw wrong(where, 'must be a line like anna: token');
    if (token.length < minLength) throw wrong(where, `its token must have at least ${minLength} characters`);
    if (tokens.some((known) => known.who === who || known.token === token))
      throw wrong(where, 'must be neither a name nor a token that stands further up');
    tokens.push({ who, token });
  }
  if (tokens.length === 0) throw wrong(file, 'must hold at least one line like anna: token');
  return tokens;
}
