module.exports = {
  apps: [
    { name: 'a', script: 'a.py', env: { A: 'app', B: 'app', C: 'app' }, env_production: { C: 'env_production' } },
    { name: 'b', script: 'b.py', env_staging: { S: 1 } },
  ],
  deploy: {
    production: { user: 'deploy', host: 'example.org', env: { B: 'deploy', C: 'deploy', N: 5, ON: true, LIST: [1], NONE: null } },
    staging: { user: 'deploy', env: { S: 'other' } },
    test: 'none',
  },
};
