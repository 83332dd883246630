/** The dashboard's page: what the server tells, and what it cannot. */
import { FeedConnection } from './connection.js';
import { showSignIn } from './dialogs.js';
import { el, setClass, setText, whenChanged } from './dom.js';
import { LockView } from './lock-view.js';
import { forget, onSession, session, setMode } from './session.js';
import { ago, span, time, zone } from './text.js';

/** More than so many begin closed: a line and their lanes each. */
const openLocks = 3;
const at = (id) => document.getElementById(id);
const views = new Map();
let temporal = { away: null, asked: false };
let actions = [];
let lostSince = null;
let version = '';

// --- notices: text that a screen reader hears once, and a clock beside it that it does not -----------------------

function notice(level) {
  const text = el('span', { role: 'status' });
  const clock = el('span', { class: 'clock', 'aria-hidden': 'true' });
  const element = el('p', { class: `notice ${level}`, hidden: true }, text, clock);
  at('notices').append(element);
  return {
    set(said, since = '') {
      setText(text, said ?? '');
      setText(clock, since);
      element.hidden = said === null;
    },
  };
}
const lost = notice('bad');
const etcdAway = notice('bad');
const temporalAway = notice('warn');
const acted = el('div', { class: 'acted' });
at('notices').append(acted);

function tickNotices() {
  const isLost = lostSince !== null;
  document.body.classList.toggle('stale', isLost);
  lost.set(
    isLost ? 'No connection to this dashboard’s server; what you see is old. Trying again.' : null,
    isLost ? ` (for ${span(Date.now() - lostSince)})` : '',
  );
  const dead = [...views.values()].map(({ card }) => card.etcdAway).filter((away) => away);
  const first = dead.toSorted((a, b) => a.since - b.since)[0];
  etcdAway.set(
    !isLost && first
      ? `etcd unreachable for ${ago(first.since)}; shown as last read, and by the workflows. ${first.why}`
      : null,
  );
  const { away } = temporal;
  temporalAway.set(
    !isLost && away ? `Temporal unreachable for ${ago(away.since)}; shown from etcd. ${away.why}` : null,
  );
}

function tick() {
  tickNotices();
  for (const view of views.values()) {
    view.tick();
    if (view.isVisible) view.lanes.place();
  }
  const verdicts = [...views.values()].map((view) => view.verdict.level);
  const of = (level) => verdicts.filter((each) => each === level).length;
  const parts = [
    [of('bad'), 'in trouble'],
    [of('warn'), 'to be looked at'],
    [of('good'), 'fine'],
  ].filter(([count]) => count > 0);
  const locks = `${views.size} ${views.size === 1 ? 'lock' : 'locks'}`;
  const summary = at('summary');
  if (lostSince === null && version !== '') {
    setText(summary, `${locks}: ${parts.map(([count, what]) => `${count} ${what}`).join(', ')}`);
    setClass(summary, of('bad') > 0 ? 'bad-text' : of('warn') > 0 ? 'warn-text' : 'good-text');
    document.title = of('bad') > 0 ? `(${of('bad')}!) Baton` : 'Baton';
  } else if (lostSince !== null) {
    setText(summary, 'not connected');
    setClass(summary, 'bad-text');
  }
}

// --- the stream ---------------------------------------------------------------------------------------------------

const visible = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const view = views.get(target.dataset.lock);
      if (!view) continue;
      view.isVisible = isIntersecting;
      if (isIntersecting) view.lanes.place();
    }
  },
  { rootMargin: '200px' },
);

function showSnapshot(snapshot) {
  ({ version, temporal, actionsTaken: actions } = snapshot);
  const known = new Set(snapshot.locks.map(({ card }) => card.lock));
  for (const [lock, view] of views)
    if (!known.has(lock)) {
      view.element.remove();
      views.delete(lock);
    }
  for (const item of snapshot.locks) {
    const { lock } = item.card;
    const former = views.get(lock);
    if (former) {
      former.setCard(item.card);
      former.setHistory(item.history);
      continue;
    }
    const view = new LockView(item, snapshot.regions, snapshot.locks.length <= openLocks);
    view.element.dataset.lock = lock;
    view.lanes.setWindow(Number(at('window').value));
    views.set(lock, view);
    at('locks').append(view.element);
    visible.observe(view.element);
  }
  setText(at('about'), `Baton ${version}. Times are ${zone}; receipts are in UTC.`);
  setMode(snapshot.actions);
  showActions(actions);
  filter();
  tick();
}

const connection = new FeedConnection({
  snapshot: showSnapshot,
  lock: (card) => views.get(card.lock)?.setCard(card),
  history: (history) => views.get(history.lock)?.setHistory(history),
  samples: ({ at: when, of }) => {
    for (const [lock, figures] of Object.entries(of)) views.get(lock)?.addSample(when, figures);
  },
  temporal: (card) => {
    temporal = card;
    tickNotices();
  },
  action: (action) => {
    actions = [action, ...actions.filter(({ id }) => id !== action.id)];
    showActions(actions);
  },
  lost: (lastSignMs) => {
    lostSince = lastSignMs ?? Date.now();
    tick();
  },
  back: () => {
    lostSince = null;
  },
});
connection.open();
setInterval(tick, 1_000);
setInterval(() => {
  for (const view of views.values()) if (view.isVisible && view.expanded) view.tick();
}, 200);

// --- actions ------------------------------------------------------------------------------------------------------

const dismissed = new Set();
const shownMs = 60_000;

/** Those under way, and the latest outcome; everybody who looks sees them. */
const renderActions = whenChanged((shown) => {
  acted.replaceChildren(
    ...shown.map(({ id, lock, action, to, by, at: when, steps, outcome, why, reason }) => {
      const level = outcome === 'failed' ? 'bad' : outcome === 'done' ? 'good' : 'warn';
      const what = `${action} ${lock}${to ? ` to ${to}` : ''}`;
      const said = outcome === 'running' ? (steps.at(-1) ?? 'asked for') : `${outcome}: ${why}`;
      const close = el('button', {
        type: 'button',
        class: 'close',
        'aria-label': `Dismiss ${what}`,
        text: '×',
      });
      close.addEventListener('click', () => {
        dismissed.add(id);
        showActions(actions);
      });
      return el(
        'div',
        { class: `notice ${level}` },
        el(
          'p',
          { role: 'status' },
          el('b', { text: what }),
          ` by ${by} at ${time(when)} (${reason}): ${said}`,
        ),
        outcome === 'running' ? null : close,
      );
    }),
  );
});

function showActions(all) {
  const recent = all.filter(
    ({ id, outcome, at: when }) =>
      !dismissed.has(id) && (outcome === 'running' || Date.now() - when < shownMs),
  );
  renderActions(recent.slice(0, 4));
}
setInterval(() => showActions(actions), 5_000);

const sessionButton = at('session');
function showSession() {
  const { mode, who } = session();
  sessionButton.hidden = mode === 'off' || (mode === 'proxy' && who !== null);
  setText(sessionButton, who === null ? 'Sign in' : `Sign out (${who.replace(' (dashboard)', '')})`);
  for (const view of views.values()) view.refreshActions();
}
onSession(showSession);
sessionButton.addEventListener('click', () => (session().who === null ? showSignIn() : forget()));

// --- tools --------------------------------------------------------------------------------------------------------

function filter() {
  const wanted = at('filter').value.trim().toLowerCase();
  for (const [lock, { element, card }] of views)
    element.hidden =
      wanted !== '' &&
      !`${lock} ${card.holder?.region ?? 'nobody'} ${card.holder?.pod ?? ''}`.toLowerCase().includes(wanted);
}
at('filter').addEventListener('input', filter);
at('window').addEventListener('change', (event) => {
  for (const view of views.values()) view.lanes.setWindow(Number(event.target.value));
});
addEventListener('resize', () => {
  for (const view of views.values()) view.lanes.place();
});
