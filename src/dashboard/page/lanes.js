/** A lane per region over time, and the changes on it. */
import { el, keyed, setText } from './dom.js';
import { causeText, now, shortTime, time, wayText } from './text.js';

/** Thinner ones would not be seen. */
const minPixels = 3;
/** Changes that are closer together share one button, so that a finger can hit it. */
const markPixels = 26;
const labelPixels = 84;

export class Lanes {
  /** `onChanges`: called with the receipts of a mark that was pressed. */
  constructor(regions, onChanges) {
    this.onChanges = onChanges;
    this.windowMs = 900_000;
    this.history = null;
    this.axis = el('div', { class: 'axis', 'aria-hidden': 'true' });
    this.rows = new Map();
    this.element = el('div', { class: 'lanes' });
    for (const region of regions) {
      const track = el('div', { class: 'track', 'aria-hidden': 'true' });
      const marks = el('div', { class: 'marks' });
      const label = el('div', { class: 'lane-name' }, el('b', { text: region }), el('span'));
      this.element.append(el('div', { class: 'lane' }, label, el('div', { class: 'strip' }, track, marks)));
      const setMarks = keyed(marks, () => this.createMark());
      this.rows.set(region, { track, marks, setMarks, state: label.lastChild, spans: [] });
    }
    this.element.append(el('div', { class: 'lane axis-row' }, el('div'), this.axis));
  }

  setState(region, state) {
    const row = this.rows.get(region);
    if (row) setText(row.state, state);
  }

  setHistory(history) {
    this.history = history;
    for (const [region, row] of this.rows) {
      row.spans = history.lanes[region] ?? [];
      row.track.replaceChildren(
        ...row.spans.map(({ state, atMost }) =>
          el('i', { class: `span ${state}${atMost ? ' at-most' : ''}` }),
        ),
      );
    }
    this.place();
  }

  setWindow(seconds) {
    this.windowMs = seconds * 1000;
    this.place();
  }

  /** Moves everything to where it belongs now. */
  place() {
    const first = this.rows.values().next().value;
    const width = first?.track.clientWidth ?? 0;
    if (!this.history || width === 0) return;
    const end = now();
    const begin = end - this.windowMs;
    const x = (ms) => ((ms - begin) / this.windowMs) * width;
    for (const [region, { track, spans, setMarks }] of this.rows) {
      for (const [index, { state, from, to }] of spans.entries()) {
        const bar = track.children[index];
        const right = Math.min(width, x(to ?? end));
        const left = Math.max(0, Math.min(x(from), right - minPixels));
        bar.hidden = right < 0 || left > width;
        bar.style.left = `${left}px`;
        bar.style.width = `${Math.max(minPixels, right - left)}px`;
        setText(bar, right - left > labelPixels && state !== 'standby' ? state : '');
      }
      setMarks(this.marksOf(region, x, width));
    }
    this.placeAxis(begin, end, x);
  }

  marksOf(region, x, width) {
    const changes = this.history.receipts
      .filter(({ from, to }) => (to ?? from)?.region === region)
      .map((receipt) => ({ receipt, at: x(Date.parse(receipt.firstStartedAt ?? receipt.at)) }))
      .filter(({ at }) => at >= 0 && at <= width)
      .toReversed();
    const groups = [];
    for (const change of changes) {
      const group = groups.at(-1);
      if (group && change.at - group.at < markPixels) group.receipts.push(change.receipt);
      else groups.push({ at: change.at, receipts: [change.receipt] });
    }
    return groups.map(({ at, receipts }) => ({ key: receipts[0].id, at, receipts }));
  }

  createMark() {
    const element = el('button', { type: 'button', class: 'mark' });
    let shown = [];
    element.addEventListener('click', () => this.onChanges(shown.toReversed()));
    return {
      element,
      update: ({ at, receipts }) => {
        shown = receipts;
        element.style.left = `${at}px`;
        setText(element, receipts.length > 1 ? String(receipts.length) : '');
        const last = receipts.at(-1);
        const text = `${causeText(last.cause)} ${wayText(last)} at ${time(last.at)}`;
        const label =
          receipts.length > 1 ? `${receipts.length} changes, the last one: ${text}` : `${text}: show receipt`;
        if (element.title !== label) {
          element.title = label;
          element.setAttribute('aria-label', label);
        }
      },
    };
  }

  placeAxis(begin, end, x) {
    const steps = [15_000, 60_000, 300_000, 900_000, 3_600_000, 4 * 3_600_000];
    const width = x(end);
    const step = steps.find((ms) => (ms / this.windowMs) * width > 70) ?? 6 * 3_600_000;
    const ticks = [];
    // From local midnight, so that the hours are whole ones.
    const shift = new Date(end).getTimezoneOffset() * 60_000;
    for (let at = Math.ceil((begin - shift) / step) * step + shift; at <= end; at += step) {
      const left = x(at);
      if (left > 20 && left < width - 24) ticks.push({ left, text: shortTime(at, step < 60_000) });
    }
    while (this.axis.children.length > ticks.length) this.axis.lastChild.remove();
    for (const [index, { left, text }] of ticks.entries()) {
      const tick = this.axis.children[index] ?? this.axis.appendChild(el('span'));
      tick.style.left = `${left}px`;
      setText(tick, text);
    }
  }
}
