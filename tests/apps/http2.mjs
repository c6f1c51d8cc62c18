// HTTP/2 without TLS.
import http2 from 'node:http2';

const server = http2.createServer((request, response) => response.end(`${process.pid}`));
server.listen(0, () => console.log(`listening on ${server.address().port} as ${process.pid}`));
