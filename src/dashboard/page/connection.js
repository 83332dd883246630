/** The stream of events, held open for as long as the page is; tells when it is lost and when it is back. */
import { setServerTime } from './text.js';

/** The server gives a sign every 5 s. */
const silenceMs = 12_000;
const retryMs = 1_000;
const names = ['snapshot', 'lock', 'history', 'samples', 'temporal', 'action', 'sign'];

export class FeedConnection {
  /** `on`: a function by event name, and `lost(sinceMs)` and `back()`. */
  constructor(on) {
    this.on = on;
    this.lastSignMs = null;
    this.isLost = false;
    this.timer = null;
  }

  open() {
    this.connect();
    // A laptop that was closed has missed everything.
    document.addEventListener('visibilitychange', () => !document.hidden && this.check());
    setInterval(() => this.check(), 1_000);
  }

  connect() {
    clearTimeout(this.timer);
    this.source?.close();
    const source = new EventSource('./api/events');
    this.source = source;
    this.openedMs = Date.now();
    for (const name of names)
      source.addEventListener(name, (event) => {
        this.lastSignMs = Date.now();
        const content = JSON.parse(event.data);
        if (name === 'sign') setServerTime(content);
        if (name === 'snapshot') {
          setServerTime(content.now);
          this.isLost = false;
          this.on.back();
        }
        this.on[name]?.(content);
      });
    source.addEventListener('error', () => {
      if (source !== this.source) return;
      // Not left to the browser: after some answers it does not try again.
      source.close();
      this.lose();
      this.timer = setTimeout(() => this.connect(), retryMs);
    });
  }

  check() {
    const heardMs = Math.max(this.lastSignMs ?? 0, this.openedMs);
    if (Date.now() - heardMs < silenceMs) return;
    this.lose();
    this.connect();
  }

  lose() {
    if (this.isLost) return;
    this.isLost = true;
    this.on.lost(this.lastSignMs);
  }
}
