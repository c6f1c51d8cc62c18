// Every key here is procrun's, with a value that another tool wants. PM2 starts all of it.
module.exports = {
  log_format: 'YYYY-MM-DD',
  log_level: 3,
  shutdown_timeout: 'never',
  apps: [
    { name: 'api', script: 'app.js', env_file: '.env.none', health: '/healthz', readiness: true, listen: [3000, '0.0.0.0:80'] },
    { name: 'jobs', script: 'app.js', env_file: { PORT: 1 }, depends_on: ['redis', 'web'], critical: 'yes', notify: ['ops@acme.example'] },
    { name: 'web', script: 'app.js', depends_on: 'jobs', heartbeat: 'on', rlimits: 'high', nice: 'low', umask: 27 },
    { name: 'task', script: 'app.js', exec_mode: 'cluster', instances: 2, oneshot: true, drain: {}, balance: 'leastconn' },
    { name: 'one', script: 'app.py', listen: 'tcp://127.0.0.1:9000', log_max_size: '10', log_keep: 'all', kill_signal: 'quit now' },
    { name: 'two', script: 'app.py', listen: 'tcp://127.0.0.1:9000', on_errored: 'retry', cron_timezone: 'Mars', max_parallel: 0 },
  ],
};
