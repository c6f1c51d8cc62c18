'use strict';
Object.defineProperty(exports, '__esModule', { value: true });
exports.default = { apps: [{ script: 'a.js' }] };
