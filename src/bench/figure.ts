/** Three digits that matter: `0.41`, `8.1`, `86.2`, `5230`. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (Number.isInteger(value) || size >= 1000) return String(Math.round(value));
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
