module.exports = {
  apps: [
    { name: 'nightly', script: 'a.js', cron_restart: '2/3 * * * * *' },
    { name: 'alias', script: 'a.js', cron: '0 0 L * 1' },
    { name: 'off', script: 'a.js', cron_restart: '0' },
    { name: 'never', script: 'a.js', cron_restart: '0 0 31 4 *' },
  ],
};
