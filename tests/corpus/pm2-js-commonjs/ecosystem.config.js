console.log('noise from the config', process.cwd().length > 0);
const os = require('os');
module.exports = {
  apps: [{
    name: 'API',
    script: 'api.js',
    instances: os.cpus().length > 0 ? 1.5 : 0,
    filter: undefined,
    onExit() {},
    env: { NODE_ENV: 'development', PORT: process.env.PORT },
    env_production: { NODE_ENV: 'production' },
  }],
};
setInterval(() => {}, 1000);
process.on('exit', () => console.log('bye'));
