// Runs in each worker of a cluster before the application, in the same file as drain.cjs. procrun hands
// out the connections of `balance = "auto"` one by one. While short ones arrive too fast for that, it
// sends `accept` with the listening socket, and the worker accepts from it until `stop`.
// It leaves no trace that an application would trip over, and an error in here stays in here.
(() => {
  'use strict';
  // A thread of the worker has no channel.
  if (typeof process.send !== 'function') return;
  const CMD = 'NODE_PROCRUN';
  // How often procrun hears how many were accepted, in milliseconds.
  const REPORT_EVERY = 100;

  // What an application may replace later (test clocks, wrappers).
  const { send } = process;
  const { setInterval, clearInterval } = globalThis;
  const quietly = (work) => {
    try {
      return work();
    } catch {
      return undefined;
    }
  };
  const say = (act, more) => quietly(() => send.call(process, { cmd: CMD, act, ...more }, () => {}));

  // The servers that get their connections from procrun, by the number of their socket.
  const servers = new Map();
  // The number in the answer that Node is looking at.
  let answered;
  let timer;

  const report = () => {
    for (const [key, entry] of servers) {
      if (!entry.socket) continue;
      say('accepted', { key, count: entry.accepted });
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

  // Node's stand-in for a socket that stays with its primary is a plain object.
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

  // A connection that this worker refuses is for another, and connections that stay open are to be
  // spread evenly: neither can be had but one by one.
  const declines = ({ server }, handed) =>
    server.maxConnections != null || server._connections * 2 > handed;

  const accept = ({ key, backlog, handed }, socket) => {
    const entry = servers.get(key);
    // It was closed while this was on its way.
    if (!entry || entry.socket) return socket.close();
    if (declines(entry, handed)) {
      socket.close();
      return say('declined', { key });
    }
    entry.accepted = 0;
    entry.socket = socket;
    socket.unref();
    socket.onconnection = (error, client) => {
      if (error) {
        // procrun keeps what this worker cannot take.
        quietly(() => stop(entry));
        say('declined', { key });
        return;
      }
      entry.accepted += 1;
      entry.handle.onconnection(0, client);
    };
    if (socket.listen(backlog)) {
      stop(entry);
      return say('declined', { key });
    }
    timer ??= setInterval(() => quietly(report), REPORT_EVERY).unref();
  };

  quietly(() => {
    const cluster = require('cluster');
    const { _getServer } = cluster;
    if (typeof _getServer !== 'function') return;
    cluster._getServer = function (server, options, found) {
      return _getServer.call(this, server, options, function (...args) {
        quietly(() => remember(answered, server, args[1]));
        return found.apply(this, args);
      });
    };
    // Before Node's own listener, which takes the answer to the server at once.
    process.prependListener('internalMessage', (message, handle) => {
      if (!message) return;
      answered = message.ack === undefined ? undefined : message.key;
      if (message.cmd !== CMD) return;
      if (message.act === 'accept' && handle) quietly(() => accept(message, handle));
      if (message.act === 'stop') quietly(() => servers.has(message.key) && stop(servers.get(message.key)));
    });
    say('accepts');
  });
})();
