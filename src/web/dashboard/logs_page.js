// Log lines: recent ones, and new ones as they are written.

import { ansiNodes } from './ansi.js';
import { Follower, Problem, readStream } from './api.js';
import { h, replace, setAttribute, setText } from './dom.js';
import { clock, number } from './format.js';
import { store } from './store.js';

// Lines that are shown. A reader who has scrolled up keeps some more.
const MOST = 5000;
const MOST_UP = 10_000;
const RECENT = 2000;
// The browser skips blocks of lines that are not visible. A check of each single line would cost it more.
const BLOCK = 100;
// Lines in quick succession are shown together.
const FLUSH_INTERVAL = 200;
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];
const SEARCH_DELAY = 250;

const view = { level: '', text: '', stream: 'all', wraps: true };

export class LogsPage {
  title = 'Logs';
  #target;
  #follower = null;
  #pending = [];
  #flushTimer = 0;
  #count = 0;
  #isFollowing = true;
  #unseen = 0;
  #timer = 0;
  #lastAt = null;
  #atLast = new Set();
  #isLive = false;
  #isRefused = false;
  #names = '';
  #parts;

  constructor(target) {
    this.#target = target;
    const select = (label, options, value, change) => {
      const element = h('select', { 'aria-label': label, onchange: () => change(element.value) },
        options.map(([value, text]) => h('option', { value }, text)));
      element.value = value;
      return element;
    };
    const restart = (name) => (value) => {
      view[name] = value;
      this.#restart();
    };
    const search = h('input', {
      type: 'search', placeholder: 'Search', autocomplete: 'off', spellcheck: 'false', 'aria-label': 'Search log lines',
      oninput: () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => restart('text')(search.value), SEARCH_DELAY);
      },
    });
    search.value = view.text;
    const wrap = h('button', { type: 'button', 'aria-pressed': String(view.wraps), onclick: () => this.#setWrap(!view.wraps) }, 'Wrap');
    const download = h('button', { type: 'button', onclick: () => this.#download() }, 'Download');
    const lines = h('div', { class: 'lines', tabindex: '0', role: 'log', 'aria-live': 'off', 'aria-label': 'Log lines' });
    lines.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    const latest = h('button', { type: 'button', class: 'latest primary', hidden: true, onclick: () => this.#toLatest() });
    const apps = h('select', { 'aria-label': 'App', onchange: () => (location.hash = apps.value ? `#/logs?target=${encodeURIComponent(apps.value)}` : '#/logs') });
    this.#parts = {
      search, wrap, lines, latest, apps, download,
      level: select('Lowest level', [['', 'All levels'], ...LEVELS.map((level) => [level, `${level} and above`])], view.level, restart('level')),
      stream: select('Stream', [['all', 'stdout, stderr'], ['out', 'stdout'], ['err', 'stderr']], view.stream, restart('stream')),
      status: h('span', { class: 'quiet count', role: 'status' }),
      empty: h('p', { class: 'empty' }, 'No log lines.'),
    };
    const { level, stream, status, empty } = this.#parts;
    this.element = h('div', { class: 'page fill logs' }, h('h1', { class: 'hidden' }, 'Logs'),
      h('div', { class: 'bar' }, apps, search, level, stream, wrap, download, status),
      h('div', { class: 'card flush log' }, lines, empty, latest));
    this.#setWrap(view.wraps);
    this.#updateApps();
    this.#restart();
  }

  close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#flushTimer);
    this.#follower?.close();
  }

  focusFilter() {
    this.#parts.search.focus();
    this.#parts.search.select();
  }

  update(what) {
    if (what !== 'data') return;
    this.#updateApps();
    // Meanwhile there may be a token, or the app.
    if (this.#isRefused) this.#restart();
  }

  #updateApps() {
    const names = store.apps.map((app) => app.name);
    if (this.#target && !names.includes(this.#target)) names.push(this.#target);
    const key = names.join('\n');
    if (key === this.#names && this.#parts.apps.options.length > 0) return;
    this.#names = key;
    const option = (value, text) => h('option', { value }, text);
    replace(this.#parts.apps, option('', 'All apps'), names.map((name) => option(name, name)));
    this.#parts.apps.value = this.#target;
  }

  #setWrap(wraps) {
    view.wraps = wraps;
    setAttribute(this.#parts.wrap, 'aria-pressed', String(wraps));
    this.#parts.lines.classList.toggle('wraps', wraps);
  }

  #path(lines, more) {
    const query = new URLSearchParams({ lines: String(lines), stream: view.stream, ...more });
    if (this.#target) query.set('target', this.#target);
    if (view.level) query.set('level', view.level);
    if (view.text) query.set('text', view.text);
    return `logs?${query}`;
  }

  #recent() {
    const instances = store.apps.filter((app) => !this.#target || app.name === this.#target).reduce((sum, app) => sum + app.instances, 0);
    return Math.min(1000, Math.max(5, Math.floor(RECENT / Math.max(1, instances))));
  }

  #restart() {
    this.#follower?.close();
    this.#pending = [];
    this.#lastAt = null;
    this.#atLast.clear();
    this.#isLive = this.#isRefused = false;
    this.#parts.lines.replaceChildren();
    this.#count = 0;
    this.#toLatest();
    this.#show();
    this.#follower = new Follower(() => this.#path(this.#recent(), this.#lastAt === null ? {} : { since: this.#lastAt }), {
      onMessage: (message) => this.#take(message),
      onState: ({ isConnected, problem }) => {
        if (isConnected) return;
        this.#isLive = false;
        this.#isRefused = problem instanceof Problem && problem.status >= 400 && problem.status < 500;
        this.#show(this.#isRefused ? problem.message : 'not connected');
      },
    });
  }

  #take({ kind, data }) {
    if (kind === 'live') {
      this.#isLive = true;
      this.#show();
    } else if (kind === 'missed') {
      this.#pending.push({ missed: data.missed });
    } else if (kind === 'message') {
      // After a connection is lost, lines of the last millisecond come again.
      const key = `${data.id} ${data.stream} ${data.text}`;
      if (data.at === this.#lastAt && !this.#isLive && this.#atLast.has(key)) return;
      if (data.at !== this.#lastAt) this.#atLast.clear();
      this.#lastAt = data.at;
      this.#atLast.add(key);
      this.#pending.push(data);
      if (this.#pending.length > MOST_UP) this.#pending.splice(0, this.#pending.length - MOST);
    }
    this.#flushTimer ||= setTimeout(() => this.#flush(), FLUSH_INTERVAL);
  }

  #flush() {
    this.#flushTimer = 0;
    const { lines } = this.#parts;
    const pending = this.#pending.slice(-MOST);
    this.#pending = [];
    const wanted = view.text.toLowerCase();
    for (const line of pending) this.#append(line.missed ? missedRow(line.missed) : lineRow(line, wanted));
    const most = this.#isFollowing ? MOST : MOST_UP;
    while (this.#count - (lines.firstChild?.childElementCount ?? 0) >= most) {
      this.#count -= lines.firstChild.childElementCount;
      lines.firstChild.remove();
    }
    if (this.#isFollowing) lines.scrollTop = lines.scrollHeight;
    else this.#unseen += pending.length;
    this.#show();
  }

  #append(row) {
    const { lines } = this.#parts;
    let block = lines.lastChild;
    if (block === null || block.childElementCount >= BLOCK) {
      block = h('div', { class: 'block' });
      lines.append(block);
    }
    block.append(row);
    this.#count += 1;
  }

  #show(problem) {
    const { status, empty, latest } = this.#parts;
    empty.hidden = this.#count > 0;
    setText(empty, problem ?? (this.#isLive ? 'No log lines.' : 'Loading…'));
    setText(status, problem ?? (this.#isLive ? `live, ${number(this.#count)} lines` : ''));
    latest.hidden = this.#isFollowing;
    setText(latest, this.#unseen > 0 ? `${number(this.#unseen)} new lines ↓` : 'Latest ↓');
  }

  #onScroll() {
    const { lines } = this.#parts;
    const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 24;
    if (isAtEnd !== this.#isFollowing) {
      this.#isFollowing = isAtEnd;
      if (isAtEnd) this.#unseen = 0;
      this.#show();
    }
  }

  #toLatest() {
    const { lines } = this.#parts;
    this.#isFollowing = true;
    this.#unseen = 0;
    lines.scrollTop = lines.scrollHeight;
    this.#show();
  }

  // All lines that the supervisor keeps, with the same filters.
  async #download() {
    const { download } = this.#parts;
    download.disabled = true;
    try {
      const texts = [];
      await readStream(this.#path(10_000, { follow: 'false' }), ({ kind, data }) => {
        if (kind === 'message') texts.push(`${data.at} ${data.app}${data.id === null ? '' : ` (${data.id})`} ${data.stream} ${data.text}\n`);
      });
      const url = URL.createObjectURL(new Blob(texts, { type: 'text/plain' }));
      const name = (this.#target || 'procrun').replace(/[^\w.-]+/g, '_');
      h('a', { href: url, download: `${name}.log` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#show(error.message);
    } finally {
      download.disabled = false;
    }
  }
}

function missedRow(count) {
  return h('div', { class: 'line missed' }, `${number(count)} lines were missed`);
}

function lineRow(line, wanted) {
  const level = LEVELS.includes(line.level) ? line.level : 'info';
  const source = line.id === null ? line.app : `${line.app} ${line.id}`;
  return h('div', { class: `line ${level} ${line.stream === 'err' ? 'err' : 'out'}` },
    h('time', { title: line.at }, clock(line.at, true)),
    h('span', { class: 'source', title: source }, source),
    h('span', { class: 'level' }, level),
    h('span', { class: 'text' }, ansiNodes(line.text, wanted), line.partial && h('span', { class: 'quiet' }, '…')));
}
