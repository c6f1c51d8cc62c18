// The status of an app or instance as a word with a shape; the colour only repeats it.

import { h } from './dom.js';

// The worst first: it is the status of an app.
const ORDER = ['errored', 'waiting restart', 'stopping', 'launching', 'waiting', 'stopped', 'online'];

// The class of each status decides shape and colour.
const CLASSES = new Map([
  ['online', 'good'],
  ['launching', 'busy'],
  ['stopping', 'busy'],
  ['waiting', 'busy'],
  ['waiting restart', 'warn'],
  ['errored', 'bad'],
  ['stopped', 'idle'],
]);

export function appStatus(app) {
  const found = ORDER.find((status) => app.statuses[status] > 0) ?? 'stopped';
  // Tasks that are complete and instances that were stopped leave the others as they are.
  if (found === 'stopped' && app.online > 0) return 'online';
  return found;
}

// A number that sorts the worst status first.
export function severity(status) {
  const at = ORDER.indexOf(status);
  return at === -1 ? ORDER.length : at;
}

export function statusClass(status) {
  return CLASSES.get(status) ?? 'idle';
}

export function statusBadge(status) {
  const word = h('span', { class: 'word' }, status);
  const mark = h('span', { class: 'mark', 'aria-hidden': 'true' });
  return h('span', { class: `badge ${statusClass(status)}` }, mark, word);
}

export function updateBadge(badge, status) {
  const wanted = `badge ${statusClass(status)}`;
  if (badge.className !== wanted) badge.className = wanted;
  const word = badge.lastChild;
  if (word.textContent !== status) word.textContent = status;
}
