// Events as rows, for the page of events and that of an app.

import { h } from './dom.js';
import { moment } from './format.js';

const WORDS = { error: 'error', warn: 'warning', info: 'info', debug: 'debug' };

export function eventRow(event) {
  const level = WORDS[event.level] ? event.level : 'info';
  return h('li', { class: `event ${level}` },
    h('time', { datetime: event.at, title: event.at }, moment(event.at)),
    h('span', { class: 'mark', 'aria-hidden': 'true' }),
    h('span', { class: 'hidden' }, WORDS[level]),
    h('span', { class: 'kind' }, event.kind),
    h('span', { class: 'text' }, event.text ?? '', event.hint && h('span', { class: 'hint' }, `hint: ${event.hint}`)));
}

// Shows the last events of a list, the newest first. Rows that are shown already stay.
export class EventList {
  #most;
  #first = null;
  #last = null;

  constructor(most) {
    this.#most = most;
    this.element = h('ol', { class: 'events', tabindex: '0', 'aria-label': 'Events' });
  }

  set(events) {
    const wanted = events.slice(-this.#most);
    const continues = this.#last !== null && wanted.length > 0 && wanted[0].seq <= this.#last
      && wanted[0].seq >= this.#first && wanted.at(-1).seq >= this.#last;
    const rows = continues ? wanted.filter((event) => event.seq > this.#last) : wanted;
    if (!continues) {
      this.element.replaceChildren();
      this.#first = wanted[0]?.seq ?? null;
    }
    for (const event of rows) this.element.prepend(eventRow(event));
    this.#last = wanted.at(-1)?.seq ?? null;
    while (this.element.children.length > this.#most) this.element.lastChild.remove();
  }

  // The rows no longer fit the next list.
  reset() {
    this.#last = null;
  }
}
