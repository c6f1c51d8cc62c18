module.exports = { apps: [{ script: process.argv.includes('--env') ? 'yes.js' : 'no.js' }] };
