// Runs in each worker of a cluster before the application, in the same file as drain.cjs. procrun hands
// out the connections of `balance = "auto"` one by one. While short connections arrive too fast for that, it
// sends `accept` with the listening socket, and the worker accepts from it until `stop`.
// The application does not notice the script, and an error in the script has no other effect.
(() => {
  'use strict';
  // A thread of the worker has no channel.
  if (typeof process.send !== 'function') return;
  const CMD = 'NODE_PROCRUN';
  // The interval of the reports about accepted connections, in milliseconds.
  const REPORT_INTERVAL = 100;

  // An application may replace these later (test clocks, wrappers).
  const { send } = process;
  const { setInterval, clearInterval } = globalThis;
  const quietly = (work) => {
    try {
      return work();
    } catch {
      return undefined;
    }
  };
  const notify = (act, more) => quietly(() => send.call(process, { cmd: CMD, act, ...more }, () => {}));

  // The servers that get their connections from procrun, by the number of their socket.
  const servers = new Map();
  // The number of the socket in the answer that Node is handling.
  let answeredKey;
  let timer;

  const report = () => {
    for (const [key, entry] of servers) {
      if (!entry.socket) continue;
      notify('accepted', { key, count: entry.accepted });
      entry.accepted = 0;
    }
  };

  const stop = (entry) => {
    if (!entry.socket) return;
    entry.socket.close();
    entry.socket = undefined;
    if ([...servers.values()].some(({ socket }) => socket)) return;
    clearInterval(timer);
    timer = undefined;
  };

  // The handle of a socket that stays with its primary is a plain object in Node.
  const remember = (key, server, handle) => {
    if (key === undefined || !handle || Object.getPrototypeOf(handle) !== Object.prototype) return;
    const entry = { server, handle, socket: undefined, accepted: 0 };
    servers.set(key, entry);
    const { close } = handle;
    handle.close = function (...args) {
      quietly(() => stop(entry));
      if (servers.get(key) === entry) servers.delete(key);
      return close.apply(this, args);
    };
  };

  // A connection that this worker refuses must get to another worker, and long connections must be distributed
  // evenly. Both need procrun to hand connections out one by one.
  const declines = ({ server }, handed) =>
    server.maxConnections != null || server._connections * 2 > handed;

  const accept = ({ key, backlog, handed }, socket) => {
    const entry = servers.get(key);
    // The server was closed while this message was on its way.
    if (!entry || entry.socket) return socket.close();
    if (declines(entry, handed)) {
      socket.close();
      return notify('declined', { key });
    }
    entry.accepted = 0;
    entry.socket = socket;
    socket.unref();
    socket.onconnection = (error, client) => {
      if (error) {
        // procrun accepts the connections that this worker cannot accept.
        quietly(() => stop(entry));
        notify('declined', { key });
        return;
      }
      entry.accepted += 1;
      entry.handle.onconnection(0, client);
    };
    if (socket.listen(backlog)) {
      stop(entry);
      return notify('declined', { key });
    }
    timer ??= setInterval(() => quietly(report), REPORT_INTERVAL).unref();
  };

  quietly(() => {
    const cluster = require('cluster');
    const { _getServer } = cluster;
    if (typeof _getServer !== 'function') return;
    cluster._getServer = function (server, options, found) {
      return _getServer.call(this, server, options, function (...args) {
        quietly(() => remember(answeredKey, server, args[1]));
        return found.apply(this, args);
      });
    };
    // Before Node's own listener, which passes the answer to the server at once.
    process.prependListener('internalMessage', (message, handle) => {
      if (!message) return;
      answeredKey = message.ack === undefined ? undefined : message.key;
      if (message.cmd !== CMD) return;
      if (message.act === 'accept' && handle) quietly(() => accept(message, handle));
      if (message.act === 'stop') quietly(() => servers.has(message.key) && stop(servers.get(message.key)));
    });
    notify('accepts');
  });
})();
