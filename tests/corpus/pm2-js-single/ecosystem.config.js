module.exports = { script: 'a.js', name: 'solo' };
