// What the page knows of the supervisor: the last answers, the events, and the history of figures.

import { Follower, Problem, get } from './api.js';
import { History } from './history.js';

const INTERVAL = 5_000;
const MAX_EVENTS = 1000;
// Events in quick succession cause one request.
const DEBOUNCE = 150;

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

function schedule(delay) {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(load, delay);
}

// Loads the figures as soon as possible.
export function refresh() {
  schedule(DEBOUNCE);
}

async function load() {
  if (isLoading) {
    isStale = true;
    return;
  }
  isLoading = true;
  isStale = false;
  try {
    const [overview, apps] = await Promise.all([get('overview'), get('apps')]);
    accept(overview, apps);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const isDenied = error.status === 401 || error.status === 403;
    setConnection(isDenied ? 'denied' : 'lost', error);
  } finally {
    isLoading = false;
    schedule(isStale ? DEBOUNCE : store.connection === 'lost' ? INTERVAL / 5 : INTERVAL);
  }
}

function accept({ supervisor, surroundings, instances }, apps) {
  const isAnother = store.supervisor !== null
    && (store.supervisor.pid !== supervisor.pid || store.supervisor.started_at !== supervisor.started_at);
  if (isAnother) {
    store.history = new History();
    lastPoint = 0;
  }
  store.supervisor = supervisor;
  store.surroundings = surroundings ?? null;
  store.apps = apps;
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
  document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : load()));
  load();
}
