// An application that would be its own primary.
const cluster = require('node:cluster');
const http = require('node:http');

if (cluster.isPrimary) {
  console.log('a primary');
  cluster.fork();
} else {
  const server = http.createServer((request, response) => response.end(`${process.pid}`));
  server.listen(process.env.PORT, () => console.log('up', cluster.worker.id));
}
