// A WebSocket server: says who it is, echoes, and crashes when it is told to.
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ port: 0 });
server.on('connection', (socket) => {
  socket.send(`${process.pid}`);
  socket.on('message', (text) => {
    if (`${text}` === 'crash') process.exit(7);
    socket.send(`${text}`);
  });
});
server.on('listening', () => {
  console.log(`listening on ${server.address().port} as ${process.pid}`);
});
