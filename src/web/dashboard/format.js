// Numbers and times as they are shown. An unknown value is a dash.

export const UNKNOWN = '–';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || size >= 100 ? 0 : 1;
  return `${size.toFixed(digits)} ${UNITS[unit]}`;
}

// Percent of one core.
export function percent(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;
}

export function number(value) {
  return value === null || value === undefined ? UNKNOWN : value.toLocaleString('en');
}

// A rate, with a digit after the point where it is small.
export function rate(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return value === 0 || value >= 100 ? number(Math.round(value)) : value.toFixed(1);
}

// A short time in milliseconds.
export function latency(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${value.toFixed(value >= 10 ? 0 : 1)} ms`;
}

// A time span of milliseconds in its two largest units.
export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return UNKNOWN;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const two = (part) => String(part).padStart(2, '0');

export function clock(time, withMilliseconds = false) {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return UNKNOWN;
  const text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return withMilliseconds ? `${text}.${String(at.getMilliseconds()).padStart(3, '0')}` : text;
}

// Time of day, and the date of another day.
export function moment(time) {
  const at = new Date(time);
  const isToday = at.toDateString() === new Date().toDateString();
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return isToday ? clock(time) : `${date} ${clock(time)}`;
}

export function plural(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? '' : 's'}`;
}
