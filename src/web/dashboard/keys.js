// Keys of the whole page, and the list of them.

import { openDialog } from './actions.js';
import { h, replace } from './dom.js';

const KEYS = [
  ['1 2 3', 'Apps, logs, events'],
  ['/', 'Filter or search'],
  ['j k', 'Next and previous row'],
  ['Enter', 'Open the app of the row'],
  ['u', 'Back to all apps'],
  ['t', 'System, light or dark colours'],
  ['?', 'This list'],
  ['Esc', 'Close a dialog, empty or leave a field'],
];

export function showKeys() {
  openDialog('Keyboard', ({ dialog, content, buttons }) => {
    replace(content, h('dl', { class: 'keys' }, KEYS.map(([keys, text]) => h('div', null,
      h('dt', null, keys.split(' ').map((key) => h('kbd', null, key))), h('dd', null, text)))));
    replace(buttons, h('button', { type: 'button', class: 'primary', onclick: () => dialog.close() }, 'Close'));
  });
}

// The first Escape empties a search field, the next one leaves it.
function leave(event) {
  const field = event.target;
  event.preventDefault();
  if (field.type === 'search' && field.value !== '') {
    field.value = '';
    field.dispatchEvent(new Event('input', { bubbles: true }));
  } else {
    field.blur();
  }
}

// `handlers`: a function for each key.
export function listenToKeys(handlers) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    const isField = event.target.closest?.('input, select, textarea');
    if (isField) {
      if (event.key === 'Escape') leave(event);
      return;
    }
    const handler = handlers[event.key];
    if (handler) {
      event.preventDefault();
      handler();
    }
  });
}
