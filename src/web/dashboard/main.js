// The frame of the page: navigation, the state of the connection, and the page that the address names.

import { requestToken } from './actions.js';
import { token } from './api.js';
import { AppPage } from './app_page.js';
import { h, replace, setText } from './dom.js';
import { EventsPage } from './events_page.js';
import { clock } from './format.js';
import { listenToKeys, showKeys } from './keys.js';
import { LogsPage } from './logs_page.js';
import { OverviewPage } from './overview_page.js';
import { refresh, start, store, subscribe } from './store.js';
import { nextTheme, themeChoice } from './theme.js';

const main = document.getElementById('main');
const banner = document.getElementById('banner');
let page = null;

const links = [['#/', 'Apps'], ['#/logs', 'Logs'], ['#/events', 'Events']]
  .map(([href, text]) => h('a', { href }, text));
const connection = h('span', { class: 'connection' });
const themeButton = h('button', { type: 'button', class: 'plain', onclick: changeTheme });
const tokenButton = h('button', { type: 'button', class: 'plain', onclick: enterToken }, 'Token');
const target = h('span', { class: 'quiet target' });

replace(document.getElementById('top'),
  h('a', { class: 'brand', href: '#/' }, h('img', { src: '/dashboard/icon.svg', alt: '', width: '22', height: '22' }), 'procrun'),
  h('nav', { 'aria-label': 'Pages' }, links),
  target,
  h('div', { class: 'tools' }, connection, tokenButton, themeButton,
    h('button', { type: 'button', class: 'plain wide-only', onclick: showKeys, 'aria-label': 'Keyboard shortcuts', title: 'Keyboard shortcuts (?)' }, '?')));

function changeTheme() {
  nextTheme();
  showTheme();
}

function showTheme() {
  const choice = themeChoice();
  const names = { system: 'Auto', light: 'Light', dark: 'Dark' };
  setText(themeButton, names[choice]);
  themeButton.title = `Colours: ${choice} (t)`;
}

async function enterToken() {
  if (await requestToken()) refresh();
  showToken();
}

function showToken() {
  tokenButton.classList.toggle('set', token() !== null);
  tokenButton.title = token() === null ? 'Enter the token for changes' : 'This tab has a token';
}

// The part of the address after `#`: a path and parameters.
function place() {
  const [path, query] = location.hash.slice(1).split('?');
  return { path: path || '/', parameters: new URLSearchParams(query ?? '') };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function open() {
  const { path, parameters } = place();
  page?.close();
  const app = path.startsWith('/app/') ? decoded(path.slice(5)) : null;
  if (app !== null) page = new AppPage(app);
  else if (path === '/logs') page = new LogsPage(parameters.get('target') ?? '');
  else if (path === '/events') page = new EventsPage();
  else page = new OverviewPage(main);
  const current = path.startsWith('/app/') ? '#/' : `#${path}`;
  for (const link of links) {
    if (link.getAttribute('href') === current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${page.title} – procrun`;
  replace(main, page.element);
  main.scrollTop = 0;
  page.update('data');
  page.update('events');
}

const CONNECTIONS = { connecting: 'connecting', live: 'live', lost: 'no connection', denied: 'no access' };

function showConnection() {
  connection.className = `connection ${store.connection}`;
  replace(connection, h('span', { class: 'mark', 'aria-hidden': 'true' }), CONNECTIONS[store.connection]);
  document.body.classList.toggle('stale', store.connection === 'lost');
  const parts = [];
  if (store.connection === 'lost') {
    const since = store.updatedAt ? ` The page shows the state of ${clock(store.updatedAt)}.` : '';
    parts.push(h('p', null, h('strong', null, 'The supervisor does not answer.'), `${since} Connecting again…`));
  } else if (store.connection === 'denied') {
    parts.push(h('p', null, h('strong', null, `No access: ${store.problem.message}.`), store.problem.hint ? ` ${store.problem.hint}.` : ''),
      store.problem.status === 401 && h('button', { type: 'button', onclick: enterToken }, 'Enter the token'));
  } else if (store.supervisor?.stopping) {
    parts.push(h('p', null, h('strong', null, 'procrun is stopping.'), ' Apps end within the shutdown budget.'));
  }
  for (const part of store.connection === 'live' ? store.supervisor?.failing ?? [] : []) {
    parts.push(h('p', null, `A part of the supervisor has failed and is tried again: ${part}`));
  }
  banner.hidden = parts.length === 0;
  replace(banner, parts);
}

let shownConnection = '';
subscribe((what) => {
  if (what === 'connection' || what === 'data') {
    const key = JSON.stringify([store.connection, store.problem?.message, store.supervisor?.stopping, store.supervisor?.failing]);
    if (key !== shownConnection) {
      shownConnection = key;
      showConnection();
    }
    setText(target, store.supervisor?.target ?? '');
  }
  page?.update(what);
});

listenToKeys({
  1: () => (location.hash = '#/'),
  2: () => (location.hash = '#/logs'),
  3: () => (location.hash = '#/events'),
  u: () => (location.hash = '#/'),
  t: changeTheme,
  '?': showKeys,
  '/': () => page.focusFilter?.(),
  j: () => page.move?.(1),
  k: () => page.move?.(-1),
});

document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});

window.addEventListener('hashchange', open);
showTheme();
showToken();
showConnection();
open();
start();
