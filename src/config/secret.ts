const hidden = '***';
const secretNames = /(?:^|\.)(?:password|apiKey|username)\b/;

/**
 * Hides the password of every address in a text, up to the last `@`, also where the address is malformed, and
 * the query values that usually are secrets. Log lines and error messages go through it as well.
 */
export function maskSecrets(text: string): string {
  if (!text.includes('@') && !text.includes('=')) return text;
  return text
    .replace(/(?<![a-z0-9+.-])([a-z][a-z0-9+.-]{0,20}:\/{0,2})([^\s"'@/:]*):[^\s"']*@/gi, `$1$2:${hidden}@`)
    .replace(/([?&](?:password|auth|token|api_?key|secret)[a-z_]*=)[^&\s"']+/gi, `$1${hidden}`);
}

/** A setting's value for a message: short, on one line, without secrets. */
export function showValue(setting: string, value: unknown): string {
  if (secretNames.test(setting)) return hidden;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (value === null) return 'empty';
  if (typeof value === 'object') return 'a map';
  let text = maskSecrets(typeof value === 'string' ? value : JSON.stringify(value));
  if (text === '') return 'empty';
  // An address without its scheme is not known for one above.
  if (/Url\b/.test(setting) && !text.includes(`${hidden}@`)) text = text.replace(/^.*@/s, `${hidden}@`);
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
