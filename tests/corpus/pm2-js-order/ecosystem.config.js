module.exports = {
  apps: [
    { name: 'api', script: 'api.sh', depends_on: [{ app: 'migrate' }, 'nobody'] },
    { name: 'migrate', script: 'migrate.sh', oneshot: true },
  ],
};
