module.exports = {
  apps: [{ name: 'api', script: 'a.js', max_restarts: -1, kill_timeout: -1, filter_env: 5, stop_exit_codes: 'x' }],
};
