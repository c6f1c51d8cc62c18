// A line chart of the last hour with its legend.

import { h, replace, setText } from './dom.js';
import { UNKNOWN, clock } from './format.js';
import { colour, onTheme } from './theme.js';

const HEIGHT = 190;
const MIN_SPAN = 120;
const LINES = 8;

// Steps of the scale of bytes.
const BINARY = Array.from({ length: 42 }, (_, power) => 2 ** power);

function times(_, splits) {
  const isShort = splits.length > 1 && splits[1] - splits[0] < 60;
  return splits.map((at) => (isShort ? clock(at * 1000) : clock(at * 1000).slice(0, 5)));
}

// Charts in the same group share the cursor.
export class Chart {
  #plot = null;
  #canvas;
  #legend;
  #summary;
  #options;
  #names = '';
  #data = null;
  #labels = [];
  #values = [];
  #resize;
  #endTheme;

  // `options`: `title`, `format(value)`, `group`, `floor` (the least top of the scale), `isBinary` (bytes).
  constructor(options) {
    this.#options = options;
    this.#canvas = h('div', { class: 'plot', 'aria-hidden': 'true' });
    this.#legend = h('ul', { class: 'legend' });
    this.#summary = h('span', { class: 'now' });
    this.element = h('figure', { class: 'chart card' },
      h('figcaption', null, h('h2', null, options.title), this.#summary), this.#canvas, this.#legend);
    this.#resize = new ResizeObserver(() => {
      const width = this.#canvas.clientWidth;
      if (this.#plot && width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
    });
    this.#resize.observe(this.#canvas);
    this.#endTheme = onTheme(() => {
      this.#names = '';
      if (this.#data) this.#draw();
    });
  }

  close() {
    this.#resize.disconnect();
    this.#endTheme();
    this.#plot?.destroy();
  }

  // `times` in seconds, and a list of `{name, values}` of the same length.
  set(times, series, summary) {
    setText(this.#summary, summary);
    this.#data = { times, series };
    this.#draw();
  }

  #draw() {
    const { times, series } = this.#data;
    const names = series.map(({ name }) => name).join('\n');
    const data = [times, ...series.map(({ values }) => values)];
    if (this.#plot === null || this.#names !== names) {
      this.#names = names;
      this.#build(data, series);
    } else {
      this.#plot.setData(data);
    }
    this.#show(null);
  }

  #build(data, series) {
    this.#plot?.destroy();
    const { format, group, floor, isBinary } = this.#options;
    const axis = {
      stroke: colour('quiet'),
      font: '11px system-ui, sans-serif',
      grid: { stroke: colour('grid'), width: 1 },
      ticks: { show: false },
    };
    this.#plot = new globalThis.uPlot({
      width: this.#canvas.clientWidth || 400,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: group }, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: true, range: (_, min, max) => [Math.min(min ?? 0, (max ?? 0) - MIN_SPAN), max ?? 0] },
        y: { range: (_, min, max) => [0, Math.max(floor, (max ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, size: 26, space: 80, values: times },
        { ...axis, size: 66, incrs: isBinary ? BINARY : undefined, values: (_, splits) => splits.map((value) => format(value)) },
      ],
      series: [
        {},
        ...series.map(({ name }, at) => ({
          label: name,
          stroke: colour(`line${at % LINES}`),
          width: 1.75,
          fill: series.length === 1 ? `${colour(`line${at % LINES}`)}1f` : undefined,
          points: { show: data[0].length < 2, size: 5 },
        })),
      ],
      hooks: { setCursor: [(plot) => this.#show(plot.cursor.idx)] },
    }, data, this.#canvas);
    this.#values = series.map(() => h('span', { class: 'value' }));
    this.#labels = series.map(({ name }, at) => h('li', null,
      h('span', { class: `swatch line${at % LINES}`, 'aria-hidden': 'true' }), h('span', { class: 'name' }, name), this.#values[at]));
    replace(this.#legend, this.#labels);
    this.#legend.hidden = series.length === 0;
  }

  // Values at the cursor, or the last ones.
  #show(index) {
    const { times, series } = this.#data;
    const at = index ?? times.length - 1;
    series.forEach(({ values }, line) => {
      const value = values[at];
      setText(this.#values[line], value === null || value === undefined ? UNKNOWN : this.#options.format(value));
    });
  }
}

// Series of different lengths that end at the same time, as long as the longest.
export function aligned(values, length) {
  return Array(Math.max(0, length - values.length)).fill(null).concat(values);
}
