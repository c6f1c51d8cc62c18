// Dark or light: that of the system, or the user's choice.

const KEY = 'procrun.theme';
const CHOICES = ['system', 'light', 'dark'];
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set();

function stored() {
  const choice = localStorage.getItem(KEY);
  return CHOICES.includes(choice) ? choice : 'system';
}

function apply() {
  const choice = stored();
  const theme = choice === 'system' ? (system.matches ? 'dark' : 'light') : choice;
  document.documentElement.dataset.theme = theme;
  for (const listener of listeners) listener();
}

export function themeChoice() {
  return stored();
}

export function nextTheme() {
  const next = CHOICES[(CHOICES.indexOf(stored()) + 1) % CHOICES.length];
  localStorage.setItem(KEY, next);
  apply();
}

// Calls `listener` when colours change. The result ends it.
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

system.addEventListener('change', apply);
apply();
