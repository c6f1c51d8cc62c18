module.exports = {
  apps: [
    { name: 'api', script: 'app.js', env_production: { NODE_ENV: 'production' } },
    { name: 'worker', script: 'server.py' },
    { name: 'reports', script: 'serve.sh' },
  ],
};
