// Says which connections it holds, crashes when it is told to, and closes its server when it is
// asked to end.
const fs = require('fs');
const http = require('http');

const server = http.createServer((request, response) => {
  if (request.url === '/crash') process.exit(7);
  response.end(`${process.pid}`);
});
// Written at once, so that it is known also of a worker that dies.
server.on('connection', (socket) => fs.writeSync(1, `took ${socket.remotePort} as ${process.pid}\n`));
server.listen(0, () => console.log(`listening on ${server.address().port} as ${process.pid}`));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => server.close(() => process.exit(0)));
}
