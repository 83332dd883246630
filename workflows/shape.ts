/** Tells whether a decoded value is what its type says. For what somebody else has written. */
export type Is = (value: unknown) => boolean;

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const text: Is = (value) => typeof value === 'string';
export const flag: Is = (value) => typeof value === 'boolean';
export const number: Is = (value) => Number.isFinite(value);
export const whole: Is = (value) => Number.isSafeInteger(value);
export const nothing: Is = (value) => value === undefined;
export const within =
  (min: number, max: number): Is =>
  (value) =>
    whole(value) && (value as number) >= min && (value as number) <= max;
export const oneOf =
  (...values: unknown[]): Is =>
  (value) =>
    values.includes(value);
export const either =
  (...kinds: Is[]): Is =>
  (value) =>
    kinds.some((is) => is(value));
/** The property may be missing. */
export const optional = (is: Is): Is => either(nothing, is);
export const orNull =
  (is: Is): Is =>
  (value) =>
    value === null || is(value);
export const list =
  (is: Is): Is =>
  (value) =>
    Array.isArray(value) && value.every(is);

export type Shape = Record<string, Is>;

/** What else it has is not looked at. */
export const record =
  (shape: Shape): Is =>
  (value) =>
    isRecord(value) && wrongIn(value, shape) === null;

/** The first property that is not what the shape says. */
export function wrongIn(value: Record<string, unknown>, shape: Shape): string | null {
  return Object.keys(shape).find((name) => !shape[name]?.(own(value, name))) ?? null;
}

/** By the value of one property. */
export const variants =
  (name: string, kinds: Record<string, Shape>): Is =>
  (value) => {
    if (!isRecord(value)) return false;
    const kind = own(value, name);
    const shape = typeof kind === 'string' && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    return shape !== undefined && wrongIn(value, shape) === null;
  };

const own = (value: Record<string, unknown>, name: string): unknown =>
  Object.hasOwn(value, name) ? value[name] : undefined;
