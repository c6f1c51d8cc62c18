// A log line with ANSI escape sequences → text nodes in spans. Sequences other than colours and styles are dropped,
// other control characters are shown as their pictures.

import { h } from './dom.js';

// CSI, OSC (to BEL or ST), and other escapes of two or three characters.
const SEQUENCE = /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]/g;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/g;
const LEVELS = [0, 95, 135, 175, 215, 255];

function picture(character) {
  const code = character.charCodeAt(0);
  return String.fromCharCode(code === 0x7f ? 0x2421 : 0x2400 + code);
}

function of256(index) {
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const cube = index - 16;
  return `rgb(${LEVELS[Math.floor(cube / 36)]} ${LEVELS[Math.floor(cube / 6) % 6]} ${LEVELS[cube % 6]})`;
}

const byte = (part) => Math.min(255, Math.max(0, part | 0));

// The colour after 38 or 48 and the number of parameters that it took.
function extended(parameters, at) {
  if (parameters[at + 1] === 5) return [of256(byte(parameters[at + 2])), 2];
  if (parameters[at + 1] === 2) {
    const [red, green, blue] = [2, 3, 4].map((more) => byte(parameters[at + more]));
    return [`rgb(${red} ${green} ${blue})`, 4];
  }
  return [null, 0];
}

function plain() {
  return { fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, inverse: false };
}

function change(style, text) {
  const parameters = text === '' ? [0] : text.split(/[;:]/).map(Number);
  let next = { ...style };
  for (let at = 0; at < parameters.length; at += 1) {
    const code = parameters[at];
    if (code === 0) next = plain();
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 7) next.inverse = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code === 27) next.inverse = false;
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code >= 90 && code <= 97) next.fg = code - 82;
    else if (code === 39) next.fg = null;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code >= 100 && code <= 107) next.bg = code - 92;
    else if (code === 49) next.bg = null;
    else if (code === 38 || code === 48) {
      const [found, taken] = extended(parameters, at);
      next[code === 38 ? 'fg' : 'bg'] = found;
      at += taken;
    }
  }
  return next;
}

// The parts of a line with their styles.
function parts(text) {
  const found = [];
  let style = plain();
  let from = 0;
  const add = (to) => {
    if (to > from) found.push({ style, text: text.slice(from, to).replace(CONTROL, picture) });
  };
  for (const match of text.matchAll(SEQUENCE)) {
    add(match.index);
    from = match.index + match[0].length;
    if (match[1] !== undefined) style = change(style, match[1]);
  }
  add(text.length);
  return found;
}

export function strip(text) {
  return parts(text).map((part) => part.text).join('');
}

function dress(element, { fg, bg, bold, dim, italic, underline, inverse }) {
  const names = [];
  if (typeof fg === 'number') names.push(`fg${fg}`);
  if (typeof bg === 'number') names.push(`bg${bg}`);
  for (const [name, is] of Object.entries({ bold, dim, italic, underline, inverse })) {
    if (is) names.push(name);
  }
  element.className = names.join(' ');
  // The text stays readable on both themes: half of the colour is that of the theme.
  if (typeof fg === 'string') element.style.color = `color-mix(in oklab, ${fg} 60%, var(--fg))`;
  if (typeof bg === 'string') element.style.backgroundColor = `color-mix(in oklab, ${bg} 30%, var(--bg))`;
}

// Text with the places marked that contain `wanted` (in lower case).
function marked(text, wanted) {
  if (!wanted) return [text];
  const nodes = [];
  const lower = text.toLowerCase();
  // A letter whose lower case is longer would move the places.
  if (lower.length !== text.length) return [text];
  let from = 0;
  for (let at = lower.indexOf(wanted); at !== -1; at = lower.indexOf(wanted, from)) {
    if (at > from) nodes.push(text.slice(from, at));
    nodes.push(h('mark', null, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}

export function ansiNodes(text, wanted) {
  return parts(text).map((part) => {
    const nodes = marked(part.text, wanted);
    const isPlain = Object.values(part.style).every((value) => value === null || value === false);
    if (isPlain) return nodes;
    const span = h('span', null, nodes);
    dress(span, part.style);
    return span;
  });
}
