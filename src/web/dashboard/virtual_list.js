// A table of rows of equal height of which only the visible ones exist.

import { h, setAttribute } from './dom.js';

const MARGIN = 8;

export class VirtualList {
  #scroller;
  #rows = new Map();
  #items = [];
  #options;
  #height = 0;
  #frame = 0;
  #resize;
  #schedule = () => {
    this.#frame ||= requestAnimationFrame(() => this.#render());
  };

  // `options`: `key(item)`, `create(item)` → element, `update(element, item)`.
  constructor(scroller, options) {
    this.#scroller = scroller;
    this.#options = options;
    this.body = h('div', { class: 'rows', role: 'rowgroup' });
    scroller.addEventListener('scroll', this.#schedule, { passive: true });
    this.#resize = new ResizeObserver(() => {
      this.#height = 0;
      this.#schedule();
    });
    this.#resize.observe(scroller);
  }

  close() {
    cancelAnimationFrame(this.#frame);
    this.#scroller.removeEventListener('scroll', this.#schedule);
    this.#resize.disconnect();
  }

  set items(items) {
    this.#items = items;
    this.#render();
  }

  // Moves the focus to the link of a row that need not be visible yet.
  focus(at) {
    if (at < 0 || at >= this.#items.length) return;
    const height = this.#rowHeight();
    const top = this.#offset() + at * height;
    const view = this.#scroller;
    if (top < view.scrollTop + 2 * height) view.scrollTop = Math.max(0, top - 2 * height);
    else if (top + 2 * height > view.scrollTop + view.clientHeight) view.scrollTop = top + 2 * height - view.clientHeight;
    this.#render();
    this.#rows.get(this.#options.key(this.#items[at]))?.querySelector('a, button')?.focus({ preventScroll: true });
  }

  // The index of the row that has the focus, or -1.
  focused() {
    const row = document.activeElement?.closest?.('[role="row"]');
    return row ? this.#items.findIndex((item) => this.#rows.get(this.#options.key(item)) === row) : -1;
  }

  #rowHeight() {
    if (this.#height === 0) {
      this.#height = Number.parseFloat(getComputedStyle(this.body).getPropertyValue('--row')) || 48;
    }
    return this.#height;
  }

  #offset() {
    return this.body.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top + this.#scroller.scrollTop;
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const height = this.#rowHeight();
    this.body.style.height = `${this.#items.length * height}px`;
    const top = this.#scroller.scrollTop - this.#offset();
    const first = Math.max(0, Math.floor(top / height) - MARGIN);
    const last = Math.min(this.#items.length, Math.ceil((top + this.#scroller.clientHeight) / height) + MARGIN);
    const seen = new Set();
    for (let at = first; at < last; at += 1) {
      const item = this.#items[at];
      const key = this.#options.key(item);
      seen.add(key);
      let row = this.#rows.get(key);
      if (!row) {
        row = this.#options.create(item);
        this.#rows.set(key, row);
      }
      this.#options.update(row, item);
      const position = `translateY(${at * height}px)`;
      if (row.style.transform !== position) row.style.transform = position;
      setAttribute(row, 'aria-rowindex', at + 2);
      if (!row.isConnected) this.body.append(row);
    }
    for (const [key, row] of this.#rows) {
      if (!seen.has(key)) {
        row.remove();
        this.#rows.delete(key);
      }
    }
  }
}
