process.env.ADDED = 'by the file';
process.env.PORT = '9000';
process.env.FROM_FILE = 'below env';
process.env.name = 'not the name';
process.env.DB_TOKEN = 'hidden';
delete process.env.EMPTY;
module.exports = {
  apps: [
    { name: 'api', script: 'a.js', env: { FROM_FILE: 'env' } },
    { name: 'filtered', script: 'a.js', filter_env: ['ADD', 'TOKEN'] },
    { name: 'bare', script: 'a.js', filter_env: true },
  ],
};
