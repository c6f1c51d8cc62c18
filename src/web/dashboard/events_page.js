// The events of all apps.

import { h, setText } from './dom.js';
import { EventList } from './event_rows.js';
import { number, plural } from './format.js';
import { store } from './store.js';

const MOST = 1000;
const LEVELS = ['debug', 'info', 'warn', 'error'];
const view = { text: '', level: 'info' };

export class EventsPage {
  title = 'Events';
  #filter;
  #level;
  #count;
  #empty;
  #list = new EventList(MOST);

  constructor() {
    const change = () => {
      view.text = this.#filter.value;
      view.level = this.#level.value;
      this.#list.reset();
      this.update('events');
    };
    this.#filter = h('input', {
      type: 'search', placeholder: 'Filter by app, kind or text', autocomplete: 'off', spellcheck: 'false',
      'aria-label': 'Filter events', oninput: change,
    });
    this.#filter.value = view.text;
    this.#level = h('select', { 'aria-label': 'Lowest level', onchange: change },
      h('option', { value: 'debug' }, 'All levels'), h('option', { value: 'info' }, 'Info and above'),
      h('option', { value: 'warn' }, 'Warnings and errors'), h('option', { value: 'error' }, 'Errors'));
    this.#level.value = view.level;
    this.#count = h('span', { class: 'quiet count', role: 'status' });
    this.#empty = h('p', { class: 'empty' }, 'No events.');
    this.element = h('div', { class: 'page' }, h('h1', null, 'Events'),
      h('div', { class: 'bar' }, this.#filter, this.#level, this.#count),
      h('div', { class: 'card flush' }, this.#list.element, this.#empty));
  }

  close() {}

  focusFilter() {
    this.#filter.focus();
    this.#filter.select();
  }

  update(what) {
    if (what !== 'events') return;
    const wanted = view.text.trim().toLowerCase();
    const least = LEVELS.indexOf(view.level);
    const found = store.events.filter((event) => LEVELS.indexOf(event.level ?? 'info') >= least
      && (!wanted || `${event.kind} ${event.subject.app ?? ''} ${event.text ?? ''}`.toLowerCase().includes(wanted)));
    this.#list.set(found);
    this.#empty.hidden = found.length > 0;
    const missed = store.missed > 0 ? `, ${number(store.missed)} missed` : '';
    setText(this.#count, `${plural(found.length, 'event')}${missed}`);
  }
}
