// The configuration of an app: what applies, and whether the ecosystem file sets it.

import { h } from './dom.js';
import { duration, moment } from './format.js';

const time = (value) => (value === null ? null : duration(value));
const list = (values) => (values?.length ? values.join(' ') : null);

// The name of the setting in the ecosystem file, and its value in the details of an instance.
const ROWS = [
  ['script', (it) => it.exec_path],
  ['interpreter', (it) => it.interpreter],
  ['interpreter_args', (it) => list(it.interpreter_args)],
  ['args', (it) => list(it.args)],
  ['cwd', (it) => it.cwd],
  ['exec_mode', (it) => it.brief.mode],
  ['instances', (it) => it.instances],
  ['namespace', (it) => it.brief.namespace],
  ['user', (it) => it.user],
  ['autorestart', (it) => it.autorestart],
  ['autostart', (it) => it.autostart],
  ['max_restarts', (it) => it.max_restarts],
  ['min_uptime', (it) => time(it.min_uptime)],
  ['restart_delay', (it) => time(it.restart_delay)],
  ['max_memory_restart', (it) => it.max_memory_restart],
  ['kill_signal', (it) => it.stop_signal],
  ['kill_timeout', (it) => time(it.kill_timeout)],
  ['treekill', (it) => it.treekill],
  ['wait_ready', (it) => it.wait_ready],
  ['stop_exit_codes', (it) => list(it.stop_exit_codes)],
  ['cron_restart', (it) => it.cron],
  ['next restart', (it) => (it.next_cron ? moment(it.next_cron) : null)],
  ['watch', (it) => list(it.watch)],
  ['out_file', (it) => it.out_file],
  ['error_file', (it) => it.error_file],
  ['log_file', (it) => it.log_file],
  ['limits', (it) => list(it.limits)],
];

function shown(value) {
  if (value === null || value === undefined || value === '') return null;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function table(rows) {
  return h('table', { class: 'settings' },
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Key'), h('th', { scope: 'col' }, 'Value'), h('th', { scope: 'col' }, 'Origin'))),
    h('tbody', null, rows.map(([key, value, origin]) => h('tr', null,
      h('th', { scope: 'row' }, key), h('td', null, h('code', null, value)), h('td', { class: 'quiet' }, origin)))));
}

// A node for the details of an instance.
export function settings(details) {
  const given = details.settings ?? {};
  const known = new Set(ROWS.map(([key]) => key));
  const rows = ROWS.map(([key, value]) => [key, shown(value(details)), key in given ? 'set' : 'default'])
    .filter(([, value]) => value !== null);
  const others = Object.entries(given).filter(([key]) => !known.has(key) && key !== 'name' && key !== 'env')
    .map(([key, value]) => [key, shown(value) ?? '', 'set']);
  const all = [...rows, ...others].sort((a, b) => (a[2] === b[2] ? 0 : a[2] === 'set' ? -1 : 1));
  const environment = details.env.map(([name, value]) => h('tr', null, h('th', { scope: 'row' }, name), h('td', null, h('code', null, value))));
  return h('div', null, table(all),
    h('h3', null, 'Environment'),
    environment.length === 0
      ? h('p', { class: 'quiet' }, 'The ecosystem file sets no variables.')
      : h('table', { class: 'settings' }, h('tbody', null, environment)));
}
