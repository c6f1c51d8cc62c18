// The instances of an app side by side.

import { act } from './actions.js';
import { h, setAttribute, setText } from './dom.js';
import { UNKNOWN, bytes, duration, latency, number, percent, rate } from './format.js';
import { nodeFigures } from './node_figures.js';
import { drawSparkline, sparkline } from './sparkline.js';
import { statusBadge, updateBadge } from './status.js';
import { store } from './store.js';
import { VirtualList } from './virtual_list.js';

const COLUMNS = [
  ['id', 'Id'], ['status', 'Status'], ['pid', 'PID'], ['uptime', 'Uptime'], ['cpu', 'CPU'], ['memory', 'Memory'],
  ['restarts', 'Restarts'], ['rate', 'Req/s'], ['latency', 'p95'], ['delay', 'Loop p95'], ['heap', 'Heap'], ['note', 'Last exit'], ['tools', 'Action'],
];

export class InstanceTable {
  #list;
  #table;
  #count = 0;

  constructor() {
    this.element = h('div', { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': 'Instances' });
    this.#list = new VirtualList(this.element, { key: (instance) => instance.id, create, update });
    const head = h('div', { class: 'row head', role: 'row', 'aria-rowindex': '1' },
      COLUMNS.map(([name, label]) => h('div', { class: `cell ${name}`, role: 'columnheader' }, h('span', null, label))));
    this.#table = h('div', { class: 'table instances', role: 'table', 'aria-label': 'Instances' },
      h('div', { role: 'rowgroup', class: 'sticky' }, head), this.#list.body);
    this.element.append(this.#table);
  }

  close() {
    this.#list.close();
  }

  move(by) {
    const at = this.#list.focused();
    this.#list.focus(at === -1 ? 0 : Math.min(this.#count - 1, Math.max(0, at + by)));
  }

  update(instances) {
    this.#count = instances.length;
    this.#table.classList.toggle('with-node', instances.some((instance) => instance.node));
    setAttribute(this.#table, 'aria-rowcount', instances.length + 1);
    this.#list.items = instances;
  }
}

function create({ id, name }) {
  const cells = {
    badge: statusBadge(''),
    pid: h('span', { class: 'figure' }),
    uptime: h('span', { class: 'figure' }),
    cpu: h('span', { class: 'figure' }),
    cpuLine: sparkline(),
    memory: h('span', { class: 'figure' }),
    memoryLine: sparkline(),
    restarts: h('span', { class: 'figure' }),
    rate: h('span', { class: 'figure' }),
    latency: h('span', { class: 'figure' }),
    delay: h('span', { class: 'figure' }),
    heap: h('span', { class: 'figure' }),
    note: h('span', { class: 'quiet note' }),
  };
  const cell = (kind, ...children) => h('div', { class: `cell ${kind}`, role: 'cell' }, children);
  const restart = h('button', {
    type: 'button', class: 'small', 'aria-label': `Restart ${name} ${id}`, onclick: () => act('restart', String(id), `${name} (${id})`),
  }, 'Restart');
  const row = h('div', { class: 'row', role: 'row' },
    cell('id', h('span', { class: 'figure' }, id)),
    cell('status', cells.badge),
    cell('pid', cells.pid),
    cell('uptime', cells.uptime),
    cell('cpu', cells.cpuLine, cells.cpu),
    cell('memory', cells.memoryLine, cells.memory),
    cell('restarts', cells.restarts),
    cell('rate', cells.rate),
    cell('latency', cells.latency),
    cell('delay', cells.delay),
    cell('heap', cells.heap),
    cell('note', cells.note),
    cell('tools', restart));
  row.cells = cells;
  return row;
}

// Why it does not serve, or why its last process exited.
function note({ problem, healthy, ready, last_exit: exit }) {
  if (problem) return problem;
  if (healthy === false) return 'unhealthy';
  if (ready === false) return 'not ready';
  return exit ?? UNKNOWN;
}

function update(row, instance) {
  const { cells } = row;
  updateBadge(cells.badge, instance.status);
  setText(cells.pid, instance.pid === null ? UNKNOWN : String(instance.pid));
  setText(cells.uptime, duration(instance.uptime));
  setText(cells.cpu, percent(instance.cpu));
  setText(cells.memory, bytes(instance.memory));
  setText(cells.restarts, number(instance.restarts));
  cells.restarts.classList.toggle('zero', instance.restarts === 0);
  const node = nodeFigures(instance);
  setText(cells.rate, rate(node?.rate));
  setText(cells.latency, latency(node?.latency));
  setText(cells.delay, latency(node?.delay));
  setText(cells.heap, bytes(node?.heap));
  const text = note(instance);
  setText(cells.note, text);
  setAttribute(cells.note, 'title', text);
  const history = store.history.instance(instance.id);
  if (history) {
    drawSparkline(cells.cpuLine, history.cpu(60), 10);
    drawSparkline(cells.memoryLine, history.memory(60), 1);
  }
}
