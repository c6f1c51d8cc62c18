// Opens six connections, lets the first one's worker crash, and says what became of the others.
const { WebSocket } = require('ws');

const connect = () =>
  new Promise((done, failed) => {
    const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/`);
    socket.once('message', (pid) => done({ socket, pid: `${pid}` }));
    socket.once('error', failed);
  });

// True if it is answered, false if the connection ends.
const echoes = ({ socket }) =>
  new Promise((done) => {
    if (socket.readyState !== WebSocket.OPEN) return done(false);
    socket.once('message', (text) => done(`${text}` === 'hello'));
    socket.once('close', () => done(false));
    socket.send('hello');
  });

(async () => {
  const all = [];
  for (let i = 0; i < 6; i++) all.push(await connect());
  const crashes = all[0].pid;
  const ended = new Promise((done) => all[0].socket.once('close', done));
  all[0].socket.send('crash');
  await ended;
  const count = async (sockets) => (await Promise.all(sockets.map(echoes))).filter(Boolean).length;
  const others = all.filter(({ pid }) => pid !== crashes);
  console.log('others', others.length, 'of which answer', await count(others));
  console.log('its own that answer', await count(all.filter(({ pid }) => pid === crashes)));
  console.log('new ones that answer', await count([await connect(), await connect()]));
  process.exit(0);
})();
