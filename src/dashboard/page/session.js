/** Who acts here. The token is in this module's memory and nowhere else: no cookie, no storage. */
/** @type {{ mode: string, who: string | null, token: string | null }} */
const state = { mode: 'off', who: null, token: null };
const listeners = new Set();

export const session = () => state;
export const onSession = (listener) => listeners.add(listener);

function tell() {
  for (const listener of listeners) listener();
}

/** What the server offers: `off`, `token` or `proxy`. */
export function setMode(mode) {
  const changed = mode !== state.mode;
  state.mode = mode;
  if (mode === 'off') state.who = null;
  if (changed) tell();
  // Behind a proxy the name is known without asking.
  if (changed && mode === 'proxy') askFor(null).catch(() => undefined);
}

/** Checks the token, and keeps it when it is known. */
export async function askFor(token) {
  const former = state.token;
  state.token = token;
  try {
    const { who } = await ask('session', {});
    state.who = who;
    tell();
  } catch (error) {
    state.token = former;
    throw error;
  }
}

export function forget() {
  state.who = null;
  state.token = null;
  tell();
}

/** A question or an action. Throws an error with the server's reason. */
export async function ask(what, body) {
  let response;
  try {
    response = await fetch(`./api/${what}`, {
      method: 'POST',
      credentials: 'same-origin',
      headers: {
        'content-type': 'application/json',
        'x-baton-action': '1',
        ...(state.token && { authorization: `Bearer ${state.token}` }),
      },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error('the dashboard does not answer; nothing is known of what became of it');
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401 && what !== 'session') forget();
  throw new Error(answer.why ?? `the dashboard answered ${response.status}`);
}
