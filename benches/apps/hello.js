// What the cluster rows serve: the least that a web server answers. With DRAINS it ends as the
// manuals of Node say; without, it does not know of signals at all.
'use strict';
const http = require('http');
const server = http.createServer((request, response) => {
  response.setHeader('X-Pid', process.pid);
  response.end('hello\n');
});
server.listen(Number(process.env.PORT), '127.0.0.1');
if (process.env.DRAINS) process.on('SIGINT', () => server.close(() => process.exit(0)));
