module.exports = {
  apps: [
    {
      name: 'later',
      script: 'a.js',
      watch: 5,
      ignore_watch: [/node_modules/, 'tmp'],
      watch_delay: 'soon',
      watch_options: null,
      wait_ready: true,
      listen_timeout: 0,
      cron_restart: '0 0 30 2 *',
      max_memory_restart: '',
    },
    {
      name: 'taken',
      script: 'a.js',
      watch: /src/,
      max_restarts: 1e12,
      restart_delay: 1e15,
      stop_exit_codes: [0, 300, 'x', -1, '7'],
      log_type: 'pretty',
      env: 'x',
      env_production: 'x',
      filter_env: ['AWS', 1, null],
    },
    { name: 'cut', script: 'a.js', max_restarts: 7.9, stop_exit_codes: 300, filter_env: 'SECRET' },
  ],
};
