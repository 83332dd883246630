/** Message rate and processing time of one lock, over the last minutes. */
import uPlot from './uplot.js';
import { el } from './dom.js';
import { shortTime } from './text.js';

const kept = 300;
const height = 120;

export class Chart {
  constructor(series) {
    this.data = series.map((column) => [...column]);
    this.rate = el('div', { class: 'plot' });
    this.latency = el('div', { class: 'plot' });
    this.element = el(
      'div',
      { class: 'charts' },
      el('figure', {}, el('figcaption', { text: 'Messages per second' }), this.rate),
      el('figure', {}, el('figcaption', { text: 'Time in the handler, ms: p50 and p99' }), this.latency),
    );
    this.plots = [];
    const redraw = () => this.redraw();
    new ResizeObserver(() => this.resize()).observe(this.rate);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  }

  add(atMs, { rate, handlerP50, handlerP99 }) {
    for (const [index, value] of [atMs / 1000, rate, handlerP50, handlerP99].entries()) {
      this.data[index].push(value);
      if (this.data[index].length > kept) this.data[index].shift();
    }
    this.show();
  }

  show() {
    if (this.rate.clientWidth === 0) return;
    if (this.plots.length === 0) return this.redraw();
    const [times, rate, p50, p99] = this.data;
    this.plots[0].setData([times, rate]);
    this.plots[1].setData([times, p50, p99]);
  }

  resize() {
    if (this.plots.length === 0) return this.show();
    for (const plot of this.plots) plot.setSize({ width: this.rate.clientWidth, height });
  }

  redraw() {
    for (const plot of this.plots) plot.destroy();
    this.plots = [];
    const width = this.rate.clientWidth;
    if (width === 0) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour('--muted'),
      grid: { stroke: colour('--line'), width: 1 },
      font: '11px system-ui',
    };
    const options = (series) => ({
      width,
      height,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: (_, __, max) => [max - 300, max] },
        y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
      },
      axes: [
        {
          ...axis,
          size: 28,
          space: 70,
          values: (_, splits) => splits.map((at) => shortTime(at * 1000, true)),
        },
        { ...axis, size: 44 },
      ],
      series: [{}, ...series],
    });
    const [times, rate, p50, p99] = this.data;
    const line = (label, name, dash) => ({
      label,
      stroke: colour(name),
      width: 1.5,
      points: { show: false },
      dash,
    });
    this.plots = [
      new uPlot(options([line('rate', '--active')]), [times, rate], this.rate),
      new uPlot(
        options([line('p50', '--active'), line('p99', '--draining', [5, 3])]),
        [times, p50, p99],
        this.latency,
      ),
    ];
  }
}
