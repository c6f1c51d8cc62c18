module.exports = { apps: [{ name: 'api', script: 'a.js', kill_timeout: 'soon', args: [{}] }] };
