// A web server of a few lines: answers on http://127.0.0.1:PORT/ and exits on a stop signal.
const http = require('node:http');

const port = Number(process.env.PORT || 3000);

const server = http.createServer((request, response) => {
  console.log(`${request.method} ${request.url}`);
  response.end(`hello from process ${process.pid}\n`);
});

server.listen(port, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}/`));

// Responses in progress complete. When the last connection has closed, the process exits.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT']) {
  process.on(signal, () => {
    console.log(`${signal}: closing`);
    server.close();
  });
}
