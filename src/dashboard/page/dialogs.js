/** Dialogs: receipts, and the actions with what they need to know first. */
import { ask, askFor } from './session.js';
import { el, setText } from './dom.js';
import { causeText, gapText, time, wayText } from './text.js';

/** A modal dialog; the browser keeps the focus inside, and gives it back at the end. */
function open(title, ...content) {
  const heading = el('h2', { text: title, id: 'dialog-title' });
  const close = el('button', { type: 'button', class: 'close', 'aria-label': 'Close', text: '×' });
  const dialog = el(
    'dialog',
    { 'aria-labelledby': 'dialog-title' },
    el('div', { class: 'dialog-head' }, heading, close),
    ...content,
  );
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

const row = (name, value) => [el('dt', { text: name }), el('dd', { text: value })];
const party = (of) => (of === null ? 'nobody' : `${of.region}, pod ${of.pod}, token ${of.token}`);
const messages = (value, what) =>
  value === null ? 'unknown' : `${value} ${value === 1 ? 'message' : 'messages'} ${what}`;

function receiptList(receipt) {
  const { cause, from, to, why, by, at, drained, requeued, lastFinishedAt, firstStartedAt, id } = receipt;
  return el(
    'dl',
    { class: 'receipt' },
    ...row('cause', causeText(cause)),
    ...row('why', why),
    ...row('by', by),
    ...row('from', party(from)),
    ...row('to', party(to)),
    ...row('gap', gapText(receipt)),
    ...row('drained', messages(drained, 'in flight finished')),
    ...row('returned', messages(requeued, 'returned to the queue')),
    ...row('last message there', lastFinishedAt ?? 'unknown'),
    ...row('first message here', firstStartedAt ?? 'none yet'),
    ...(receipt.answers ?? []).flatMap(({ stage, from: who, verdict, why: said }) =>
      row(stage, `${who}: ${verdict}: ${said}`),
    ),
    ...row('decided at', at),
    ...row('id', id),
  );
}

/** Newest first. */
export function showReceipts(lock, receipts) {
  const [only] = receipts;
  if (receipts.length === 1) {
    open(`${lock}: ${causeText(only.cause)} ${wayText(only)}`, receiptList(only));
    return;
  }
  open(
    `${lock}: ${receipts.length} changes`,
    ...receipts.map((receipt) =>
      el(
        'section',
        {},
        el('h3', { text: `${causeText(receipt.cause)} ${wayText(receipt)}, ${time(receipt.at)}` }),
        receiptList(receipt),
      ),
    ),
  );
}

function reasonField(hint) {
  const input = el('input', {
    type: 'text',
    required: true,
    maxLength: 500,
    placeholder: hint,
    autocomplete: 'off',
  });
  return {
    input,
    label: el('label', { class: 'field' }, el('span', { text: 'Reason (stands in the receipt)' }), input),
  };
}

/** Asks for a reason, and sends the action. `content`: what to know before. */
function actionDialog({ title, button, danger, content = [], body, hint = '' }) {
  const { input, label } = reasonField(hint);
  const problem = el('p', { class: 'problem', role: 'alert' });
  const go = el('button', { type: 'submit', class: danger ? 'danger' : 'primary', text: button });
  const form = el('form', {}, ...content, label, problem, el('div', { class: 'buttons' }, go));
  const dialog = open(title, form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go.disabled = true;
    ask('actions', { ...body(), reason: input.value }).then(
      () => dialog.close(),
      (error) => {
        setText(problem, error.message);
        go.disabled = false;
      },
    );
  });
  return { dialog, go, input };
}

/** The checks first; the button works only when all of them have passed. */
export function showSwitch(lock, regions, holderRegion) {
  const others = regions.filter((region) => region !== holderRegion);
  const select = el('select', {}, ...others.map((region) => el('option', { value: region, text: region })));
  const verdict = el('p', { class: 'verdict', role: 'status' });
  const checks = el('div', { class: 'checks' });
  const again = el('button', { type: 'button', text: 'Check again' });
  const { go } = actionDialog({
    title: `Switch ${lock}`,
    button: 'Switch',
    hint: 'deploy 1.4 in the east',
    content: [
      el('label', { class: 'field' }, el('span', { text: 'To region' }), select),
      verdict,
      checks,
      again,
    ],
    body: () => ({ action: 'switch', lock, to: select.value }),
  });
  let asked = 0;
  const check = async () => {
    const turn = ++asked;
    const to = select.value;
    go.disabled = true;
    setText(go, `Switch to ${to}`);
    setText(verdict, `Asking whether ${to} could take over now…`);
    verdict.className = 'verdict';
    checks.replaceChildren();
    try {
      const answer = await ask('preflight', { lock, to });
      if (turn !== asked) return;
      go.disabled = !answer.couldSwitch;
      verdict.className = `verdict ${answer.couldSwitch ? 'good' : 'bad'}`;
      setText(
        verdict,
        answer.couldSwitch
          ? `${to} could take over now. Expected gap: ${answer.expectedGap}.`
          : `${to} could not take over now: ${answer.failures}`,
      );
      checks.replaceChildren(checkTable(answer.checks));
    } catch (error) {
      if (turn !== asked) return;
      verdict.className = 'verdict bad';
      setText(verdict, `The checks could not be made: ${error.message}`);
    }
  };
  select.addEventListener('change', () => void check());
  again.addEventListener('click', () => void check());
  void check();
}

function checkTable(checks) {
  const failedFirst = checks.toSorted((a, b) => Number(a.passed) - Number(b.passed));
  return el(
    'table',
    {},
    el('caption', { text: `${checks.length} checks` }),
    el('thead', {}, el('tr', {}, ...['', 'Check', 'Of', 'Found'].map((text) => headCell(text)))),
    el(
      'tbody',
      {},
      ...failedFirst.map(({ check, region, pod, passed, why }) =>
        el(
          'tr',
          { class: passed ? '' : 'failed' },
          el('td', { text: passed ? 'ok' : 'FAILED' }),
          el('td', { text: check }),
          el('td', { text: pod ?? region ?? 'lock' }),
          el('td', { text: why }),
        ),
      ),
    ),
  );
}

const headCell = (text) => (text === '' ? el('td') : el('th', { scope: 'col', text }));

const plain = {
  pause: {
    title: 'Pause',
    danger: true,
    note: 'No takeover and no switch until it is resumed. The holder goes on; if it dies, nobody replaces it.',
  },
  resume: { title: 'Resume', note: 'A lock that became free meanwhile is taken at once.' },
  approve: { title: 'Approve', note: 'Every check is made again, and then the switch goes on.' },
  veto: { title: 'Veto', danger: true, note: 'Nothing has been touched yet; the switch ends.' },
  abort: {
    title: 'Abort',
    danger: true,
    note: 'Of the abort and the hand-over, the one that etcd commits first decides.',
  },
};

/** `switchId`: of the switch that it is about, if it is about one. */
export function showAction(action, lock, switchId) {
  const { title, danger = false, note } = plain[action];
  actionDialog({
    title: `${title} ${lock}`,
    button: title,
    danger,
    content: [el('p', { text: note })],
    body: () => ({ action, lock, ...(switchId && { switchId }) }),
  });
}

/** For a token; it stays in this page's memory, and is gone when the page is. */
export function showSignIn() {
  const input = el('input', { type: 'password', required: true, autocomplete: 'off' });
  const problem = el('p', { class: 'problem', role: 'alert' });
  const form = el(
    'form',
    {},
    el('p', {
      text: 'Kept in this page only, until it is closed or reloaded. Your name stands in each receipt.',
    }),
    el('label', { class: 'field' }, el('span', { text: 'Token' }), input),
    problem,
    el('div', { class: 'buttons' }, el('button', { type: 'submit', class: 'primary', text: 'Sign in' })),
  );
  const dialog = open('Sign in to switch, pause or approve', form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    askFor(input.value.trim()).then(
      () => dialog.close(),
      (error) => setText(problem, error.message),
    );
  });
}
