// All apps, a row each.

import { h, setAttribute, setText } from './dom.js';
import { bytes, duration, latency, number, percent, plural, rate } from './format.js';
import { drawSparkline, sparkline } from './sparkline.js';
import { appStatus, severity, statusBadge, updateBadge } from './status.js';
import { store } from './store.js';
import { VirtualList } from './virtual_list.js';

const COLUMNS = [
  { key: 'name', label: 'App', by: (row) => row.app.name.toLowerCase() },
  { key: 'status', label: 'Status', by: (row) => severity(row.status) },
  { key: 'ready', label: 'Ready', by: (row) => row.app.ready_instances - row.app.required_instances },
  { key: 'cpu', label: 'CPU', by: (row) => -(row.app.cpu ?? -1) },
  { key: 'memory', label: 'Memory', by: (row) => -(row.app.memory ?? -1) },
  { key: 'restarts', label: 'Restarts', by: (row) => -row.app.restarts },
  { key: 'rate', label: 'Req/s', by: (row) => -(row.app.node?.rate ?? -1) },
  { key: 'latency', label: 'p95', by: (row) => -(row.app.node?.latency ?? -1) },
];

// Kept while other pages are shown.
const view = { filter: '', sort: null, isDescending: false };

export class OverviewPage {
  title = 'Apps';
  #tiles = new Map();
  #headers = new Map();
  #filter;
  #count;
  #empty;
  #table;
  #list;
  #rows = [];

  constructor(scroller) {
    this.#filter = h('input', {
      type: 'search', id: 'filter', placeholder: 'Filter by name, namespace or status', autocomplete: 'off', spellcheck: 'false',
      'aria-label': 'Filter apps', oninput: () => this.#setFilter(this.#filter.value),
    });
    this.#filter.value = view.filter;
    this.#count = h('span', { class: 'quiet count', role: 'status' });
    this.#empty = h('p', { class: 'empty' });
    this.#list = new VirtualList(scroller, { key: (row) => row.app.name, create, update });
    const header = h('div', { class: 'row head', role: 'row', 'aria-rowindex': '1' }, COLUMNS.map((column) => this.#header(column)));
    this.#table = h('div', { class: 'table apps', role: 'table', 'aria-label': 'Apps' },
      h('div', { role: 'rowgroup' }, header), this.#list.body);
    this.element = h('div', { class: 'page' },
      h('h1', { class: 'hidden' }, 'Apps'),
      h('dl', { class: 'tiles' }, ['Apps ready', 'Instances', 'CPU', 'Memory', 'Restarts', 'Uptime'].map((name) => this.#tile(name))),
      h('div', { class: 'bar' }, this.#filter, this.#count),
      this.#table, this.#empty);
  }

  close() {
    this.#list.close();
  }

  focusFilter() {
    this.#filter.focus();
    this.#filter.select();
  }

  move(by) {
    const at = this.#list.focused();
    this.#list.focus(at === -1 ? 0 : Math.min(this.#rows.length - 1, Math.max(0, at + by)));
  }

  #tile(name) {
    const value = h('span', { class: 'value' });
    const more = h('span', { class: 'more' });
    const meter = h('span', { class: 'meter', hidden: true, 'aria-hidden': 'true' }, h('span'));
    this.#tiles.set(name, { value, more, meter });
    return h('div', { class: 'tile card' }, h('dt', null, name), h('dd', null, value, more, meter));
  }

  #header(column) {
    const sort = () => {
      view.isDescending = view.sort === column.key && !view.isDescending;
      view.sort = column.key;
      this.update('data');
    };
    const button = h('button', { type: 'button', onclick: sort }, column.label);
    const cell = h('div', { class: `cell ${column.key}`, role: 'columnheader' }, button);
    this.#headers.set(column.key, cell);
    return cell;
  }

  #setFilter(text) {
    view.filter = text;
    this.update('data');
  }

  update(what) {
    if (what !== 'data' || !store.supervisor) return;
    this.#updateTiles();
    const wanted = view.filter.trim().toLowerCase();
    const rows = store.apps.map((app) => ({ app, status: appStatus(app) }));
    this.#rows = rows.filter(({ app, status }) => !wanted
      || [app.name, app.namespace, status, app.mode].some((text) => text.toLowerCase().includes(wanted)));
    const column = COLUMNS.find(({ key }) => key === view.sort);
    if (column) {
      const sign = view.isDescending ? -1 : 1;
      const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
      this.#rows.sort((a, b) => sign * compare(column.by(a), column.by(b)));
    }
    for (const [key, cell] of this.#headers) {
      setAttribute(cell, 'aria-sort', key === view.sort ? (view.isDescending ? 'descending' : 'ascending') : 'none');
    }
    this.#table.classList.toggle('with-node', store.apps.some((app) => app.node !== null));
    setAttribute(this.#table, 'aria-rowcount', this.#rows.length + 1);
    setText(this.#count, wanted ? `${number(this.#rows.length)} of ${plural(rows.length, 'app')}` : '');
    this.#empty.hidden = this.#rows.length > 0;
    setText(this.#empty, rows.length === 0 ? 'There are no apps.' : 'No app matches the filter.');
    this.#list.items = this.#rows;
  }

  #updateTiles() {
    const { apps, instances, supervisor, surroundings } = store;
    const { container = {}, machine = {} } = surroundings ?? {};
    const ready = apps.filter((app) => app.ready).length;
    const count = (status) => instances.filter((instance) => instance.status === status).length;
    const online = count('online');
    // Completed tasks, and what a command has stopped.
    const wanted = instances.length - count('stopped');
    const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
    const cpu = container.cpu ?? sum(apps.map((app) => app.cpu));
    const cpus = container.cpu_quota ?? machine.cpus;
    const memory = container.memory ?? sum(apps.map((app) => app.memory));
    const limit = container.memory_limit ?? machine.memory;
    this.#set('Apps ready', `${number(ready)}`, `of ${number(apps.length)}`, null, ready < apps.length);
    this.#set('Instances', number(online), `of ${number(wanted)} online`, null, online < wanted);
    this.#set('CPU', percent(cpu), cpus ? `of ${plural(cpus, 'core')}` : '', cpus ? cpu / (cpus * 100) : null);
    this.#set('Memory', bytes(memory), limit ? `of ${bytes(limit)}` : '', limit ? memory / limit : null);
    this.#set('Restarts', number(sum(apps.map((app) => app.restarts))), '', null);
    this.#set('Uptime', duration(Date.now() - supervisor.started_at), `procrun ${supervisor.version}`, null);
  }

  #set(name, value, more, share, isWarning = false) {
    const tile = this.#tiles.get(name);
    setText(tile.value, value);
    setText(tile.more, more);
    tile.value.classList.toggle('attention', isWarning);
    tile.meter.hidden = share === null;
    if (share !== null) tile.meter.firstChild.style.width = `${Math.min(100, Math.max(0.5, share * 100))}%`;
  }
}

function create({ app }) {
  const cells = {
    link: h('a', { href: `#/app/${encodeURIComponent(app.name)}` }, app.name),
    about: h('span', { class: 'quiet about' }),
    badge: statusBadge(''),
    counts: h('span', { class: 'quiet counts' }),
    ready: h('span'),
    cpu: h('span', { class: 'figure' }),
    cpuLine: sparkline(),
    memory: h('span', { class: 'figure' }),
    memoryLine: sparkline(),
    restarts: h('span', { class: 'figure' }),
    rate: h('span', { class: 'figure' }),
    latency: h('span', { class: 'figure' }),
  };
  const cell = (name, ...children) => h('div', { class: `cell ${name}`, role: 'cell' }, children);
  const row = h('div', { class: 'row', role: 'row' },
    cell('name', cells.link, cells.about),
    cell('status', cells.badge, cells.counts),
    cell('ready', cells.ready),
    cell('cpu', cells.cpuLine, cells.cpu),
    cell('memory', cells.memoryLine, cells.memory),
    cell('restarts', cells.restarts, h('span', { class: 'unit quiet', 'aria-hidden': 'true' }, 'restarts')),
    cell('rate', cells.rate),
    cell('latency', cells.latency));
  row.cells = cells;
  return row;
}

function update(row, { app, status }) {
  const { cells } = row;
  const about = [app.namespace === 'default' ? null : app.namespace, app.mode, app.version].filter(Boolean).join(' · ');
  setText(cells.about, about);
  updateBadge(cells.badge, status);
  const isMixed = Object.keys(app.statuses).length > 1;
  const counts = Object.entries(app.statuses).map(([word, count]) => `${count} ${word}`).join(', ');
  setText(cells.counts, isMixed ? counts : app.instances > 1 ? plural(app.instances, 'instance') : '');
  setText(cells.ready, app.required_instances === 0 ? '–' : `${app.ready ? 'ready' : 'not ready'} ${app.ready_instances}/${app.instances}`);
  cells.ready.className = app.ready || app.required_instances === 0 ? 'quiet' : 'attention';
  setText(cells.cpu, percent(app.cpu));
  setText(cells.memory, bytes(app.memory));
  setText(cells.restarts, number(app.restarts));
  cells.restarts.classList.toggle('zero', app.restarts === 0);
  setText(cells.rate, rate(app.node?.rate));
  setText(cells.latency, latency(app.node?.latency));
  const history = store.history.app(app.name);
  if (history) {
    drawSparkline(cells.cpuLine, history.cpu(60), 10);
    drawSparkline(cells.memoryLine, history.memory(60), 1);
  }
}
