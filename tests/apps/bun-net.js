// `net` under Bun asks its primary, unless it may open the port for itself.
const net = require('net');

const server = net.createServer((socket) => socket.end(`${process.pid}`));
server.on('error', (error) => console.log('error', error.code));
server.listen({ port: process.env.PORT, reusePort: process.env.REUSE === 'yes' }, () => console.log('up'));
setInterval(() => {}, 1000);
