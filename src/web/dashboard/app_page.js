// One app: figures, instances, events, dependencies and configuration.

import { act, scale } from './actions.js';
import { Problem, get, segment } from './api.js';
import { Chart, aligned } from './chart.js';
import { h, replace, setText } from './dom.js';
import { EventList } from './event_rows.js';
import { UNKNOWN, bytes, percent, plural } from './format.js';
import { InstanceTable } from './instance_table.js';
import { settings } from './settings.js';
import { appStatus, statusBadge, updateBadge } from './status.js';
import { store } from './store.js';

const EVENTS = 200;
// With more instances the charts show their sum.
const LINES = 8;
const DETAILS_AGE = 15_000;
// With more apps the page does not read which ones depend on this one.
const MOST_APPS = 40;

export class AppPage {
  #name;
  #badge = statusBadge('');
  #summary = h('span', { class: 'quiet' });
  #buttons;
  #start;
  #stop;
  #cpu = new Chart({ title: 'CPU', format: percent, group: 'app', floor: 5 });
  #memory = new Chart({ title: 'Memory', format: bytes, group: 'app', floor: 1024 * 1024, isBinary: true });
  #instances = new InstanceTable();
  #events = new EventList(EVENTS);
  #noEvents = h('p', { class: 'empty' }, 'No events.');
  #dependencies = h('div', { class: 'body' });
  #settings = h('div', { class: 'body' });
  #body;
  #missing = h('p', { class: 'empty', hidden: true });
  #app = null;
  #detailsAt = 0;
  #shown = '';
  #dependents = null;
  #isClosed = false;

  constructor(name) {
    this.#name = name;
    this.title = name;
    const button = (action, text, kind) => h('button', { type: 'button', class: kind, onclick: () => act(action, name, name) }, text);
    this.#start = button('start', 'Start');
    this.#stop = button('stop', 'Stop');
    this.#buttons = h('div', { class: 'actions' },
      button('reload', 'Reload', 'primary'), button('restart', 'Restart'),
      h('button', { type: 'button', onclick: () => scale(name, this.#app?.instances ?? 1) }, 'Scale'),
      this.#start, this.#stop,
      h('a', { class: 'button', href: `#/logs?target=${encodeURIComponent(name)}` }, 'Logs'));
    const section = (title, ...children) => h('section', { class: 'card' }, h('h2', null, title), children);
    this.#body = h('div', { class: 'grid' },
      this.#cpu.element, this.#memory.element,
      h('section', { class: 'card wide flush' }, h('h2', null, 'Instances'), this.#instances.element),
      h('section', { class: 'card flush timeline' }, h('h2', null, 'Events'), this.#events.element, this.#noEvents),
      h('div', { class: 'stack' }, section('Dependencies', this.#dependencies), section('Configuration', this.#settings)));
    this.element = h('div', { class: 'page app' },
      h('div', { class: 'heading' },
        h('p', { class: 'crumb' }, h('a', { href: '#/' }, 'Apps'), h('span', { 'aria-hidden': 'true' }, ' / ')),
        h('h1', null, name), this.#badge, this.#summary, this.#buttons),
      this.#missing, this.#body);
    replace(this.#settings, h('p', { class: 'quiet' }, 'Loading…'));
  }

  close() {
    this.#isClosed = true;
    this.#cpu.close();
    this.#memory.close();
    this.#instances.close();
  }

  move(by) {
    this.#instances.move(by);
  }

  update(what) {
    if (what === 'events') {
      const events = store.events.filter((event) => event.subject.app === this.#name);
      this.#events.set(events);
      this.#noEvents.hidden = events.length > 0;
      this.#events.element.hidden = events.length === 0;
    }
    if (what !== 'data' || !store.supervisor) return;
    this.#app = store.apps.find((app) => app.name === this.#name) ?? null;
    this.#missing.hidden = this.#app !== null;
    this.#body.hidden = this.#buttons.hidden = this.#badge.hidden = this.#app === null;
    setText(this.#missing, 'There is no app with this name.');
    if (this.#app === null) {
      setText(this.#summary, '');
      return;
    }
    const app = this.#app;
    const instances = store.instances.filter((instance) => instance.name === this.#name);
    updateBadge(this.#badge, appStatus(app));
    const count = (...statuses) => statuses.reduce((sum, status) => sum + (app.statuses[status] ?? 0), 0);
    this.#start.hidden = count('stopped', 'errored') === 0;
    this.#stop.hidden = count('stopped') === app.instances;
    const ready = app.required_instances > 0 ? `, ${app.ready ? 'ready' : 'not ready'} ${app.ready_instances}/${app.instances}` : '';
    setText(this.#summary, `${plural(app.instances, 'instance')}${ready}, ${plural(app.restarts, 'restart')}`);
    this.#instances.update(instances);
    this.#draw(instances);
    this.#loadDetails();
  }

  #draw(instances) {
    const history = store.history.app(this.#name);
    if (!history) return;
    const times = history.times();
    const isEach = instances.length > 1 && instances.length <= LINES;
    const draw = (chart, format, pick, total) => {
      const series = isEach
        ? instances.map(({ id }) => ({ name: `${id}`, values: aligned(pick(store.history.instance(id)), times.length) }))
        : [{ name: this.#name, values: pick(history) }];
      chart.set(times, series, `${format(total)} now`);
    };
    draw(this.#cpu, percent, (from) => from?.cpu() ?? [], this.#app.cpu);
    draw(this.#memory, bytes, (from) => from?.memory() ?? [], this.#app.memory);
  }

  async #loadDetails() {
    if (Date.now() - this.#detailsAt < DETAILS_AGE) return;
    this.#detailsAt = Date.now();
    try {
      // The instances of an app have the same settings.
      const [details] = await get(`instances/${this.#app.ids[0]}`);
      if (this.#isClosed || details.brief.name !== this.#name) return;
      this.#dependents ??= await this.#readDependents();
      const shown = JSON.stringify([{ ...details, brief: null, tree: null }, this.#dependents]);
      if (shown === this.#shown || this.#isClosed) return;
      this.#shown = shown;
      replace(this.#settings, settings(details));
      replace(this.#dependencies, this.#dependencyLists(details));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#detailsAt = 0;
    }
  }

  // The apps that wait for this one, with the condition.
  async #readDependents() {
    if (store.apps.length > MOST_APPS) return [];
    const others = store.apps.filter((app) => app.name !== this.#name);
    const details = await Promise.all(others.map((app) => get(`instances/${app.ids[0]}`).catch(() => [])));
    return details.flat().flatMap(({ brief, depends_on }) => depends_on
      .map(parted).filter(({ app }) => app === this.#name).map(({ condition }) => ({ app: brief.name, condition })));
  }

  #dependencyLists({ depends_on, waiting_for }) {
    const list = (title, items) => h('div', null, h('h3', null, title), items.length === 0
      ? h('p', { class: 'quiet' }, UNKNOWN)
      : h('ul', { class: 'chips' }, items.map(({ app, condition }) => h('li', null,
        h('a', { href: `#/app/${segment(app)}` }, app), condition && h('span', { class: 'quiet' }, ` ${condition}`)))));
    return [
      h('div', { class: 'columns' }, list('Depends on', depends_on.map(parted)), list('Needed by', this.#dependents)),
      waiting_for.length > 0 && h('p', { class: 'attention' }, `It waits for ${waiting_for.join(', ')}.`),
    ];
  }
}

// `api (ready)` → the app and the condition.
function parted(text) {
  const at = text.lastIndexOf(' (');
  return at === -1 ? { app: text, condition: null } : { app: text.slice(0, at), condition: text.slice(at + 2, -1) };
}
