/** One lock: a line and its lanes; opened, everything that is known of it. */
import { Chart } from './chart.js';
import { showAction, showReceipts, showSwitch } from './dialogs.js';
import { el, keyed, setClass, setText, whenChanged } from './dom.js';
import { drillText, judge, lastChangeText, leaseLeftMs, lossText, standbyText } from './judgement.js';
import { Lanes } from './lanes.js';
import { session } from './session.js';
import { ago, causeText, figure, gapText, time, wayText } from './text.js';

const stateNames = { 'not-ready': 'not ready' };
const stateName = (state) => stateNames[state] ?? state;
const changesShown = 6;

export class LockView {
  constructor({ card, history, series }, regions, expanded) {
    this.card = card;
    this.history = history;
    this.regions = regions;
    this.chart = new Chart(series);
    this.lanes = new Lanes(regions, (receipts) => showReceipts(card.lock, receipts));
    this.pill = el('span', { class: 'pill' });
    this.sentence = el('span', { class: 'sentence' });
    this.rate = el('span', { class: 'rate' });
    const id = `lock-${card.lock}`;
    this.toggle = el(
      'button',
      { type: 'button', class: 'toggle', 'aria-expanded': 'false', 'aria-controls': `${id}-detail` },
      el('span', { class: 'chevron', 'aria-hidden': 'true' }),
      el('span', { class: 'name', text: card.lock }),
    );
    this.toggle.addEventListener('click', () => this.setExpanded(!this.expanded));
    this.detail = el('div', { class: 'detail', id: `${id}-detail`, hidden: true });
    this.element = el(
      'section',
      { class: 'lock', id, 'aria-label': `Lock ${card.lock}` },
      el('div', { class: 'head' }, el('h2', {}, this.toggle), this.pill, this.sentence, this.rate),
      this.lanes.element,
      this.detail,
    );
    this.setHistory(history);
    this.setExpanded(expanded);
  }

  setCard(card) {
    this.card = card;
    this.tick();
    if (this.expanded) this.fill();
  }

  setHistory(history) {
    this.history = history;
    this.lanes.setHistory(history);
    if (this.expanded) this.fill();
  }

  addSample(at, figures) {
    this.chart.add(at, figures);
  }

  setExpanded(expanded) {
    this.expanded = expanded;
    this.toggle.setAttribute('aria-expanded', String(expanded));
    this.detail.hidden = !expanded;
    this.element.classList.toggle('open', expanded);
    if (!expanded) return;
    if (!this.isBuilt) this.build();
    this.fill();
    this.chart.show();
    this.lanes.place();
  }

  get verdict() {
    return judge(this.card);
  }

  /** What goes on with the clock. */
  tick() {
    const { card } = this;
    const { level, state, text } = this.verdict;
    setText(this.pill, state);
    setClass(this.pill, `pill ${level}`);
    setText(this.sentence, text);
    setText(this.rate, card.figures.rate === null ? '' : figure(card.figures.rate, '/s'));
    for (const { region, state: now } of card.regions) this.lanes.setState(region, stateName(now));
    if (!this.expanded) return;
    const { holder } = card;
    setText(this.facts.since, holder ? `${time(holder.since)}, ${ago(holder.since)} ago` : '–');
    const left = leaseLeftMs(card);
    setText(
      this.facts.lease,
      left === null ? '–' : `${Math.max(0, left / 1000).toFixed(1)} s of ${card.leaseTtlMs / 1000} s left`,
    );
    this.meter.value = left === null ? 0 : Math.max(0, left / card.leaseTtlMs);
  }

  build() {
    this.isBuilt = true;
    this.facts = {};
    const fact = (key, name, ...more) => {
      const value = el('span');
      this.facts[key] = value;
      return el('div', {}, el('dt', { text: name }), el('dd', {}, value, ...more));
    };
    this.meter = el('meter', {
      min: 0,
      max: 1,
      low: 0.33,
      optimum: 1,
      'aria-label': 'Time left of the lease',
    });
    const facts = el(
      'dl',
      { class: 'facts' },
      fact('active', 'Active'),
      fact('since', 'Since'),
      fact('why', 'Why'),
      fact('standby', 'Standby ready?'),
      fact('lost', 'Anything lost?'),
      fact('lease', 'Lease', this.meter),
      fact('work', 'Messages'),
      fact('gap', 'Expected gap'),
    );
    this.marks = el('div', { class: 'lock-notices' });
    this.actions = el('div', { class: 'actions' });
    this.changes = el('tbody');
    this.setChanges = keyed(this.changes, () => this.createChange());
    this.more = el('p', { class: 'muted' });
    this.pods = el('tbody');
    this.setPods = keyed(this.pods, () => createPod());
    this.drills = el('ul', { class: 'plain' });
    this.workflows = el('ul', { class: 'plain' });
    this.detail.append(
      this.marks,
      this.actions,
      facts,
      tableOf('What happened before', ['When', 'What', 'From → to', 'Gap', 'By', 'Why', ''], this.changes),
      this.more,
      tableOf(
        'Pods',
        ['Pod', 'Region', 'Candidate', 'Since', 'Health', 'Rate', 'Handler p50 / p99', 'Verified p50 / p99'],
        this.pods,
      ),
      this.chart.element,
      el(
        'div',
        { class: 'columns' },
        el('div', {}, el('h3', { text: 'Region workflows' }), this.workflows),
        el('div', {}, el('h3', { text: 'Last drills' }), this.drills),
      ),
    );
    this.fillMarks = whenChanged((card) => this.showMarks(card));
    this.fillActions = whenChanged((state) => this.showActions(state));
    this.fillDrills = whenChanged((drills) => this.showDrills(drills));
    this.fillWorkflows = whenChanged((all) => this.showWorkflows(all));
  }

  fill() {
    const { card, history, facts } = this;
    const { holder, figures } = card;
    const [last] = history.receipts;
    setText(facts.active, holder ? `${holder.region}, pod ${holder.pod}, token ${holder.token}` : 'nobody');
    setText(facts.why, last ? `${last.why} (${lastChangeText(last)}, by ${last.by})` : 'no change yet');
    setText(facts.standby, standbyText(card));
    setText(facts.lost, lossText(card, history.receipts));
    setText(
      facts.work,
      `${figure(figures.rate, '/s')}, ${figure(figures.inFlight, '')} in flight, handler ${figure(figures.handlerP50, '')} / ${figure(figures.handlerP99, ' ms')} (p50 / p99)`,
    );
    setText(facts.gap, card.expectedGap);
    this.setChanges(history.receipts.slice(0, changesShown).map((receipt) => ({ key: receipt.id, receipt })));
    const older = history.receipts.length - changesShown;
    this.more.hidden = older <= 0;
    setText(this.more, `and ${older} before: see the lanes, or baton history`);
    this.setPods(card.pods.map((pod) => ({ key: pod.pod, pod })));
    const { paused, flapping, blocked, successor, switchUnderWay, regions } = card;
    this.fillMarks({
      paused,
      flapping,
      blocked,
      successor,
      switchUnderWay,
      cordons: regions.flatMap(({ region, cordoned }) => (cordoned ? [{ region, ...cordoned }] : [])),
    });
    this.fillDrills(history.drills);
    this.fillWorkflows(
      regions.map(({ region, workflow, phase, why, workflowUrl }) => ({
        region,
        workflow,
        phase,
        why,
        workflowUrl,
      })),
    );
    this.refreshActions();
    this.tick();
  }

  refreshActions() {
    if (!this.isBuilt) return;
    const { paused, switchUnderWay, holder } = this.card;
    this.fillActions({
      may: session().who !== null,
      paused: paused !== null,
      switchId: switchUnderWay?.switchId ?? null,
      waits: switchUnderWay?.steps?.at(-1)?.step === 'approval',
      holder: holder?.region ?? null,
    });
  }

  showActions({ may, paused, switchId, waits, holder }) {
    const { lock } = this.card;
    this.actions.hidden = !may;
    if (!may) return this.actions.replaceChildren();
    const focused = document.activeElement?.dataset?.action;
    const button = (text, action, show) =>
      el('button', { type: 'button', text, on: { click: show }, 'data-action': action });
    const plain = (text, action) => button(text, action, () => showAction(action, lock));
    const ofSwitch = (text, action) => button(text, action, () => showAction(action, lock, switchId));
    this.actions.replaceChildren(
      ...(switchId === null
        ? [button('Switch…', 'switch', () => showSwitch(lock, this.regions, holder))]
        : []),
      ...(waits ? [ofSwitch('Approve…', 'approve'), ofSwitch('Veto…', 'veto')] : []),
      ...(switchId === null ? [] : [ofSwitch('Abort…', 'abort')]),
      paused ? plain('Resume…', 'resume') : plain('Pause…', 'pause'),
    );
    // Rebuilt under somebody's fingers.
    if (focused) this.actions.querySelector(`[data-action="${focused}"]`)?.focus();
  }

  showMarks({ paused, flapping, blocked, successor, switchUnderWay, cordons }) {
    const lines = [];
    if (switchUnderWay) {
      const { to, by, reason, why } = switchUnderWay;
      lines.push(`Switch to ${to ?? 'another region'} under way, asked for by ${by} (${reason}): ${why}`);
    }
    if (paused) lines.push(`Paused by ${paused.who} at ${time(paused.when)}: ${paused.why}`);
    if (flapping)
      lines.push(`No automatic change until baton ack, since ${time(flapping.when)}: ${flapping.why}`);
    for (const { region, who, when, why } of cordons)
      lines.push(`${region} cordoned by ${who} at ${time(when)}: ${why}`);
    if (blocked) lines.push(`Blocked: ${blocked}`);
    if (successor) lines.push(`Reserved for ${successor} for a moment`);
    this.marks.replaceChildren(...lines.map((text) => el('p', { class: 'notice warn', text })));
  }

  showDrills(drills) {
    this.drills.replaceChildren(
      ...(drills.length === 0 ? [el('li', { class: 'muted', text: 'none that Temporal still knows' })] : []),
      ...drills.slice(0, 5).map((drill) => {
        const { at, outcome, objective, measured, why, kind } = drillText(drill);
        const level = outcome === 'passed' ? 'good' : outcome === 'failed' ? 'bad' : 'warn';
        return el(
          'li',
          {},
          el('span', { class: `pill ${level}`, text: outcome }),
          ` ${time(at)}, ${kind}: ${measured} (${objective}). ${why}`,
        );
      }),
    );
  }

  showWorkflows(all) {
    this.workflows.replaceChildren(
      ...all.map(({ region, workflow, phase, why, workflowUrl }) =>
        el(
          'li',
          {},
          el('b', { text: region }),
          ` ${workflowText(workflow, phase, why)} `,
          workflowUrl
            ? el('a', {
                href: workflowUrl,
                target: '_blank',
                rel: 'noopener',
                text: `${region} in the Temporal UI`,
              })
            : null,
        ),
      ),
    );
  }

  createChange() {
    const cells = Array.from({ length: 6 }, () => el('td'));
    let receipt = null;
    const button = el('button', { type: 'button', class: 'small', text: 'Receipt' });
    button.addEventListener('click', () => showReceipts(this.card.lock, [receipt]));
    return {
      element: el('tr', {}, ...cells, el('td', {}, button)),
      update: (item) => {
        receipt = item.receipt;
        const texts = [
          time(receipt.at),
          causeText(receipt.cause),
          wayText(receipt),
          gapText(receipt),
          receipt.by,
          receipt.why,
        ];
        for (const [index, text] of texts.entries()) setText(cells[index], text);
        button.setAttribute('aria-label', `Receipt of ${wayText(receipt)} at ${time(receipt.at)}`);
      },
    };
  }
}

function workflowText(workflow, phase, why) {
  if (workflow === null) return 'not asked yet';
  if (workflow === 'running') return why.startsWith(phase) ? why : `${phase}: ${why}`;
  return workflow === 'away' ? 'gives no answer' : why;
}

function createPod() {
  const cells = Array.from({ length: 8 }, () => el('td'));
  return {
    element: el('tr', {}, ...cells),
    update: ({ pod }) => {
      const { figures, health } = pod;
      const texts = [
        pod.pod,
        pod.region,
        `${pod.state}${pod.holds ? ', holds the lock' : pod.standing ? ', standing' : ', not standing'}`,
        ago(pod.since),
        health.verdict === 'ok'
          ? 'ok'
          : `${health.verdict === 'not-asked' ? 'not asked' : health.verdict}: ${health.why}`,
        figure(figures.rate, '/s'),
        pod.holds ? `${figure(figures.handlerP50, '')} / ${figure(figures.handlerP99, ' ms')}` : '–',
        pod.holds ? `${figure(figures.guardP50, '')} / ${figure(figures.guardP99, ' ms')}` : '–',
      ];
      for (const [index, text] of texts.entries()) setText(cells[index], text);
      setClass(
        cells[4],
        health.verdict === 'ok' ? 'good-text' : health.verdict === 'not-asked' ? 'muted' : 'bad-text',
      );
      cells[0].parentElement.className = pod.holds ? 'holds' : '';
    },
  };
}

const tableOf = (caption, heads, body) =>
  el(
    'div',
    { class: 'scroll', role: 'region', 'aria-label': caption, tabIndex: 0 },
    el(
      'table',
      {},
      el('caption', { text: caption }),
      el(
        'thead',
        {},
        el('tr', {}, ...heads.map((text) => (text === '' ? el('td') : el('th', { scope: 'col', text })))),
      ),
      body,
    ),
  );
