// Eight Socket.IO clients with HTTP long-polling, each from an address of its own, on the port in argv[2]. Prints
// for each which workers have answered its five questions, or its error.
const http = require('http');
const { io } = require('socket.io-client');

const port = process.argv[2];
const client = (last) => new Promise((done) => {
  const socket = io(`http://127.0.0.1:${port}`, {
    transports: ['polling'],
    forceNew: true,
    reconnection: false,
    // A connection for each request.
    agent: new http.Agent({ localAddress: `127.0.0.${last}`, keepAlive: false }),
  });
  const end = (result) => {
    done(result);
    socket.disconnect();
  };
  socket.on('connect_error', (error) => end(`error ${error.message}`));
  socket.on('disconnect', (reason) => end(`error ${reason}`));
  socket.on('connect', async () => {
    const workers = new Set();
    for (let question = 0; question < 5; question += 1) workers.add(await socket.emitWithAck('who'));
    end(`workers ${[...workers].join(' ')}`);
  });
});

Promise.all([2, 3, 4, 5, 6, 7, 8, 9].map(client)).then((results) => console.log(results.join('\n')));
