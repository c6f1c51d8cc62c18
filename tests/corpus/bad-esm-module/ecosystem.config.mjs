module.exports = { apps: [{ script: 'a.js' }] };
