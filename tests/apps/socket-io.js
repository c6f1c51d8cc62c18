// A Socket.IO server on a free port. A client with HTTP long-polling makes many requests for one session,
// which only the worker that began the session knows.
const http = require('http');
const { Server } = require('socket.io');

const server = http.createServer();
new Server(server).on('connection', (socket) => {
  socket.on('who', (answer) => answer(process.pid));
});
server.listen(0, () => console.log(`listening on ${server.address().port} as ${process.pid}`));
