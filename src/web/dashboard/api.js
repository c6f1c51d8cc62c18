// Requests to `/api/v1`, with the token if there is one.

import { readMessages } from './sse.js';

const TOKEN = 'procrun.token';
const PATIENCE = 10_000;
const MIN_BACKOFF = 500;
const MAX_BACKOFF = 5_000;

// An answer that is not a success, as `application/problem+json` describes it. Status 0: there is no answer.
export class Problem extends Error {
  constructor(status, detail, hint) {
    super(detail);
    this.status = status;
    this.hint = hint ?? null;
  }
}

export function token() {
  return sessionStorage.getItem(TOKEN);
}

export function setToken(value) {
  if (value) sessionStorage.setItem(TOKEN, value);
  else sessionStorage.removeItem(TOKEN);
}

function headers(more) {
  const value = token();
  return value ? { ...more, Authorization: `Bearer ${value}` } : more;
}

async function request(path, options) {
  let answer;
  try {
    answer = await fetch(`/api/v1/${path}`, { cache: 'no-store', ...options, headers: headers(options.headers) });
  } catch (error) {
    if (options.signal?.aborted && error.name === 'AbortError') throw error;
    throw new Problem(0, 'the supervisor does not answer');
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, problem.detail ?? `status ${answer.status}`, problem.hint);
}

export async function get(path) {
  const answer = await request(path, { signal: AbortSignal.timeout(PATIENCE) }).catch((error) => {
    throw error instanceof Problem ? error : new Problem(0, 'the supervisor does not answer');
  });
  return answer.json().catch(() => {
    throw new Problem(0, 'the answer of the supervisor is not complete');
  });
}

// Carries out a command. `onStep` gets its events as they happen. The result is that of `done`.
export async function post(path, body, onStep) {
  const answer = await request(path, {
    method: 'POST',
    headers: { Accept: 'text/event-stream', 'Content-Type': 'application/json' },
    body: JSON.stringify(body ?? {}),
  });
  let result = null;
  await readMessages(answer.body, ({ kind, data }) => {
    if (kind === 'message') onStep?.(data);
    else result = { kind, data };
  }).catch(() => {});
  if (result === null) throw new Problem(0, 'the connection has ended before the command was done');
  if (result.kind === 'failed') throw new Problem(409, result.data.message, result.data.hint);
  return result.data;
}

// Reads a stream to its end.
export async function readStream(path, onMessage) {
  const answer = await request(path, {});
  await readMessages(answer.body, onMessage);
}

export const segment = encodeURIComponent;

// Follows a stream and connects again when it ends, until it is closed. A hidden page has no stream: a browser has
// only six connections to a server. `path(last)` gets the id of the last message.
export class Follower {
  #path;
  #onMessage;
  #onState;
  #last = null;
  #abort = null;
  #backoff = MIN_BACKOFF;
  #timer = 0;
  #isClosed = false;
  #onVisibility = () => (document.hidden ? this.#pause() : this.#connect());

  constructor(path, { onMessage, onState }) {
    this.#path = path;
    this.#onMessage = onMessage;
    this.#onState = onState ?? (() => {});
    document.addEventListener('visibilitychange', this.#onVisibility);
    this.#connect();
  }

  close() {
    this.#isClosed = true;
    document.removeEventListener('visibilitychange', this.#onVisibility);
    this.#pause();
  }

  #pause() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  async #connect() {
    if (this.#isClosed || this.#abort || document.hidden) return;
    clearTimeout(this.#timer);
    const abort = new AbortController();
    this.#abort = abort;
    let isOver = false;
    let problem = null;
    try {
      const more = this.#last === null ? {} : { 'Last-Event-ID': this.#last };
      const answer = await request(this.#path(), { headers: more, signal: abort.signal });
      this.#onState({ isConnected: true });
      await readMessages(answer.body, (message) => {
        if (abort.signal.aborted) return;
        this.#backoff = MIN_BACKOFF;
        if (message.id !== null) this.#last = message.id;
        if (message.kind === 'end') isOver = true;
        this.#onMessage(message);
      }, abort.signal);
    } catch (error) {
      if (error instanceof Problem) problem = error;
    }
    if (abort.signal.aborted) return;
    this.#abort = null;
    this.#onState({ isConnected: false, isOver, problem });
    const isRefused = problem !== null && problem.status >= 400 && problem.status < 500;
    if (this.#isClosed || isOver || isRefused) return;
    this.#timer = setTimeout(() => this.#connect(), this.#backoff);
    this.#backoff = Math.min(this.#backoff * 2, MAX_BACKOFF);
  }
}
