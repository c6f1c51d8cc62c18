// `http` under Bun: variables, messages, and the message that asks it to end.
const cluster = require('cluster');
const http = require('http');

const server = http.createServer((request, response) => response.end(`${process.pid}`));
server.listen(process.env.PORT, () => {
  const { NODE_APP_INSTANCE, instances, exec_mode } = process.env;
  console.log('up', NODE_APP_INSTANCE, 'of', instances, exec_mode, cluster.isWorker, cluster.worker.id);
  process.send({ hello: 'there' });
  process.send('ready');
});
process.on('message', (message) => {
  console.log('got', message);
  process.exit(0);
});
