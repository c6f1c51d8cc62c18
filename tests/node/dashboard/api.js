// Answers requests, and writes a coloured line and a record at intervals.
const http = require('node:http');
let requests = 0;
http.createServer((_, response) => {
  requests += 1;
  response.end('ok');
}).listen(0, () => console.log('\x1b[32mlistening\x1b[0m and \x1b[1mready\x1b[0m'));
setInterval(() => console.log(JSON.stringify({ level: 30, msg: 'requests', requests })), 500);
setTimeout(() => console.log('\x1b[33mWARN\x1b[0m the cache is cold'), 300);
