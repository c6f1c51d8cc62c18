// What the page knows of the supervisor: the last answers, the events, and the history of figures.

import { Follower, Problem, get } from './api.js';
import { History } from './history.js';
import { nodeFiguresOf } from './node_figures.js';

const INTERVAL = 5_000;
const MAX_EVENTS = 1000;
// Seconds without a point.
const GAP = 12;
// Events in quick succession cause one request; a storm of them two a second.
const DEBOUNCE = 150;
const MIN_INTERVAL = 500;

// `connecting`, `live`, `lost` (no answer), `denied` (it needs the token).
export const store = {
  connection: 'connecting',
  problem: null,
  updatedAt: null,
  supervisor: null,
  surroundings: null,
  apps: [],
  instances: [],
  events: [],
  missed: 0,
  history: new History(),
};

const listeners = new Set();
let timer = 0;
let due = Infinity;
let loadedAt = -Infinity;
let isLoading = false;
let isStale = false;
let lastPoint = 0;
let feed = null;

// Calls `listener(what)` at each change: `data`, `events` or `connection`. The result ends it.
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function notify(what) {
  for (const listener of [...listeners]) listener(what);
}

function setConnection(connection, problem = null) {
  if (store.connection === connection && store.problem?.message === problem?.message) return;
  store.connection = connection;
  store.problem = problem;
  notify('connection');
}

// Loads the figures after this time, or sooner if that is planned already.
function schedule(delay) {
  const at = performance.now() + delay;
  if (document.hidden || at >= due) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(load, delay);
}

// Loads the figures soon.
export function refresh() {
  schedule(Math.max(DEBOUNCE, loadedAt + MIN_INTERVAL - performance.now()));
}

function cancel() {
  clearTimeout(timer);
  due = Infinity;
}

async function load() {
  cancel();
  if (isLoading) {
    isStale = true;
    return;
  }
  isLoading = true;
  isStale = false;
  loadedAt = performance.now();
  try {
    // After a time without points, those of the server are more complete.
    const hasGap = Date.now() / 1000 - lastPoint > GAP;
    const [overview, apps, history] = await Promise.all([get('overview'), get('apps'), hasGap ? readHistory() : null]);
    accept(overview, apps, history);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const isDenied = error.status === 401 || error.status === 403;
    setConnection(isDenied ? 'denied' : 'lost', error);
  } finally {
    isLoading = false;
    if (isStale) refresh();
    else schedule(store.connection === 'lost' ? INTERVAL / 5 : INTERVAL);
  }
}

// Without it the charts begin now.
async function readHistory() {
  return get('history').catch((error) => {
    if (error instanceof Problem) return null;
    throw error;
  });
}

function accept({ supervisor, surroundings, instances }, apps, history) {
  const isAnother = store.supervisor !== null
    && (store.supervisor.pid !== supervisor.pid || store.supervisor.started_at !== supervisor.started_at);
  if (isAnother) {
    store.history = new History();
    lastPoint = 0;
  }
  if (history !== null) store.history.load(history);
  store.supervisor = supervisor;
  store.surroundings = surroundings ?? null;
  const byName = new Map(apps.map((app) => [app.name, []]));
  for (const instance of instances) byName.get(instance.name)?.push(instance);
  store.apps = apps.map((app) => ({ ...app, node: nodeFiguresOf(byName.get(app.name)) }));
  store.instances = instances;
  store.updatedAt = Date.now();
  const now = store.updatedAt / 1000;
  if (now - lastPoint >= (INTERVAL / 1000) * 0.9) {
    lastPoint = now;
    store.history.add(now, apps, instances);
  }
  setConnection('live');
  if (!feed) follow();
  notify('data');
}

function follow() {
  feed = new Follower(() => `events?lines=${MAX_EVENTS}`, {
    onMessage: ({ kind, data }) => {
      if (kind === 'missed') {
        store.missed += data.missed;
      } else if (kind === 'message') {
        // Numbers begin again with another supervisor.
        const last = store.events.at(-1);
        if (last && data.seq <= last.seq) store.events = [];
        store.events.push(data);
        if (store.events.length > MAX_EVENTS) store.events.splice(0, store.events.length - MAX_EVENTS);
        refresh();
      }
      queueEvents();
    },
    onState: ({ isConnected, problem }) => {
      if (isConnected) return;
      if (problem && problem.status >= 400 && problem.status < 500) {
        feed.close();
        feed = null;
      }
      refresh();
    },
  });
}

let isQueued = false;
function queueEvents() {
  if (isQueued) return;
  isQueued = true;
  setTimeout(() => {
    isQueued = false;
    notify('events');
  }, 50);
}

export function start() {
  document.addEventListener('visibilitychange', () => (document.hidden ? cancel() : load()));
  load();
}
