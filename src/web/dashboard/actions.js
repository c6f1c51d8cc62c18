// Commands: a dialog to confirm, the token if the server wants it, and the progress step by step.

import { Problem, post, segment, setToken, token } from './api.js';
import { h, replace } from './dom.js';
import { clock } from './format.js';

const QUESTIONS = {
  reload: { verb: 'Reload', effect: 'Workers are replaced one after the other without downtime.' },
  restart: { verb: 'Restart', effect: 'The processes stop and start again. Requests may fail meanwhile.' },
  stop: { verb: 'Stop', effect: 'The processes stop and do not start again until you start them.' },
  start: { verb: 'Start', effect: 'Stopped instances start.' },
};

const MAX_STEPS = 500;
let titles = 0;

// Opens a modal dialog; the function gets its parts and may change them. It is removed when it is closed.
export function openDialog(title, fill) {
  titles += 1;
  const id = `dialog-${titles}`;
  const content = h('div', { class: 'content' });
  const buttons = h('div', { class: 'buttons' });
  const heading = h('h2', { id }, title);
  const dialog = h('dialog', { 'aria-labelledby': id }, heading, content, buttons);
  dialog.addEventListener('close', () => dialog.remove());
  fill({ dialog, heading, content, buttons });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Requests the token from the user. The result is whether there is one.
export function requestToken(reason) {
  return new Promise((resolve) => {
    let given = false;
    const input = h('input', { id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true });
    const dialog = openDialog('Token', ({ dialog, content, buttons }) => {
      const accept = (event) => {
        event.preventDefault();
        if (input.value.trim() === '') return;
        setToken(input.value.trim());
        given = true;
        dialog.close();
      };
      const form = h('form', { id: 'token-form', onsubmit: accept },
        h('p', { class: 'quiet' }, reason ?? 'Changes need the value of PROCRUN_WEB_TOKEN. This tab keeps it until it is closed.'),
        h('label', { for: 'token' }, 'Value of PROCRUN_WEB_TOKEN'), input);
      replace(content, form);
      replace(buttons,
        h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'),
        token() && h('button', { type: 'button', onclick: () => (setToken(null), dialog.close()) }, 'Forget it'),
        h('button', { type: 'submit', form: 'token-form', class: 'primary' }, 'Use token'));
    });
    dialog.addEventListener('close', () => resolve(given));
  });
}

// A command on a target with the usual question.
export function act(action, target, label) {
  const { verb, effect } = QUESTIONS[action];
  const path = `instances/${segment(target)}/${action}`;
  openCommand({ title: `${verb} ${label}`, verb, effect, dangerous: action === 'stop', request: () => [path, {}] });
}

export function scale(app, instances) {
  const input = h('input', { id: 'instances', type: 'number', min: '0', max: '1000', step: '1', value: String(instances), required: true });
  openCommand({
    title: `Scale ${app}`,
    verb: 'Scale',
    effect: `The app has ${instances} instances now.`,
    fields: [h('label', { for: 'instances' }, 'Instances'), input],
    isValid: () => input.reportValidity(),
    request: () => [`apps/${segment(app)}/scale`, { instances: Number(input.value) }],
  });
}

function openCommand({ title, verb, effect, dangerous, fields, isValid, request }) {
  openDialog(title, ({ dialog, content, buttons }) => {
    const submit = (event) => {
      event.preventDefault();
      if (!isValid || isValid()) carryOut(dialog, content, buttons, request());
    };
    replace(content, h('form', { id: 'command-form', onsubmit: submit }, h('p', { class: 'quiet' }, effect), fields));
    replace(buttons,
      h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'),
      h('button', { type: 'submit', form: 'command-form', class: dangerous ? 'danger' : 'primary', autofocus: !fields }, verb));
  });
}

async function carryOut(dialog, content, buttons, [path, body]) {
  const steps = h('ol', { class: 'steps', tabindex: '0', 'aria-label': 'Steps' });
  const result = h('p', { class: 'result', role: 'status' }, h('span', { class: 'spinner', 'aria-hidden': 'true' }), 'In progress');
  const close = h('button', { type: 'button', onclick: () => dialog.close() }, 'Close');
  replace(content, steps, result);
  replace(buttons, close);
  close.focus();
  const onStep = (event) => {
    const text = event.text ?? event.kind;
    steps.append(h('li', { class: event.level ?? 'info' }, h('time', null, clock(event.at)), h('span', null, text)));
    while (steps.children.length > MAX_STEPS) steps.firstChild.remove();
    steps.scrollTop = steps.scrollHeight;
  };
  const finish = (kind, ...text) => {
    result.className = `result ${kind}`;
    replace(result, text);
  };
  try {
    await post(path, body, onStep);
    finish('good', 'Done');
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401 && dialog.open) {
      const reason = token() ? 'The token is wrong.' : undefined;
      if (await requestToken(reason)) return carryOut(dialog, content, buttons, [path, body]);
      finish('bad', 'Not done: this needs the token.');
      return;
    }
    finish('bad', `Not done: ${error.message}`, error.hint && h('span', { class: 'hint' }, `hint: ${error.hint}`));
  }
}
