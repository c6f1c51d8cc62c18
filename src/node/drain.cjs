'use strict';
// Runs in each worker of a cluster before the application, by `--require`. Until procrun sends
// `drain` it only records which servers listen. Then the worker accepts no new connection and closes each
// connection after a response, so that no request is lost when the worker gets its stop signal.
// The application does not notice the script, and an error in the script has no other effect.
(() => {
  delete require.cache[__filename];
  // A thread of the worker has no channel.
  if (typeof process.send !== 'function') return;
  const CMD = 'NODE_PROCRUN';
  // The time for which a connection without a request stays open, in seconds: a request may be on its way.
  const IDLE_TIME = 1.5;
  // The interval of the checks of all connections, in milliseconds.
  const CHECK_INTERVAL = 25;
  // The greatest number of an HTTP/2 stream: the client sends no more requests, and those in progress are served.
  const LAST_STREAM = 2 ** 31 - 1;

  // An application may replace these later (test clocks, wrappers).
  const { send, uptime } = process;
  const { setInterval, clearInterval, setImmediate } = globalThis;
  const quietly = (work) => {
    try {
      return work();
    } catch {
      return undefined;
    }
  };
  const notify = (act) => quietly(() => send.call(process, { cmd: CMD, act }, () => {}));

  const seen = new WeakSet();
  let servers = [];
  // The HTTP/2 sessions, each with the number of checks since its client was told that it ends.
  const sessions = new Map();
  let draining = false;

  const openServers = () => servers.map((server) => server.deref()).filter(Boolean);

  const remember = (server) => {
    if (seen.has(server)) return;
    seen.add(server);
    if (servers.length % 64 === 63) servers = openServers().map((server) => new WeakRef(server));
    servers.push(new WeakRef(server));
    // The classes are not exported, and Node keeps no list of the sessions.
    if (/^Http2/.test(server.constructor.name)) {
      server.on('session', (session) => {
        sessions.set(session, 0);
        session.once('close', () => sessions.delete(session));
        if (draining) quietly(() => announce(session));
      });
    }
  };

  // Replaces the handle of a server that accepts no more connections: for the application it still
  // listens, so that its own `close` works as before.
  const replacementFor = (handle) => {
    const name = {};
    const replacement = { close() {}, ref() {}, unref() {}, hasRef: () => false };
    if (typeof handle.getsockname === 'function' && !handle.getsockname(name)) {
      replacement.getsockname = (out) => (Object.assign(out, name), 0);
    }
    return replacement;
  };

  const stopAccepting = (server) => {
    const handle = server._handle;
    // Only sockets of procrun: other workers accept the connections that wait there. The waiting connections of a
    // socket of this worker (`exclusive`) would be lost.
    if (!handle || !Object.prototype.hasOwnProperty.call(handle, 'close')) return;
    server._handle = replacementFor(handle);
    handle.close();
  };

  const isConnection = (name) => String(name).toLowerCase() === 'connection';

  // The forms that `writeHead` accepts: an object, pairs, or a list of alternating names and values.
  const withoutConnection = (headers) => {
    if (!Array.isArray(headers)) {
      return Object.fromEntries(Object.entries(headers).filter(([name]) => !isConnection(name)));
    }
    if (Array.isArray(headers[0])) return headers.filter(([name]) => !isConnection(name));
    return headers.filter((_, at) => !isConnection(headers[at - (at % 2)]));
  };

  // Whether the client has sent another request after that of this response, and it was read.
  const hasMore = ({ req }) => {
    const newest = req.socket && req.socket.parser && req.socket.parser.incoming;
    return Boolean(newest) && newest !== req;
  };

  // A client that still sends its request would get a connection reset, and maybe no response.
  const readToEnd = (request) => {
    const { socket } = request;
    const { destroySoon } = socket;
    socket.destroySoon = function () {
      if (request.complete) return destroySoon.call(this);
      request.once('close', () => destroySoon.call(this)).resume();
    };
  };

  // Ends the connection with this response, whatever header `Connection` the application sets.
  const closeAfter = (response) => {
    if (response.headersSent) return;
    const { writeHead } = response;
    response.writeHead = function (...args) {
      quietly(() => {
        if (this.headersSent || hasMore(this)) return;
        this.shouldKeepAlive = false;
        if (!this.req.complete) readToEnd(this.req);
        const last = args.length - 1;
        if (args[last] && typeof args[last] === 'object') args[last] = withoutConnection(args[last]);
        // Node adds `Connection: close` then. A header that is set here would make Node reject pairs and repeated
        // names in `writeHead`.
        this._removedConnection = false;
        if (this.hasHeader('Connection')) this.setHeader('Connection', 'close');
      });
      return writeHead.apply(this, args);
    };
  };

  // `Symbol(http.server.connections)`: Node's own list, which knows which connections are between two requests.
  const connectionsOf = (server) => {
    const key = Object.getOwnPropertySymbols(server).find((it) => it.description === 'http.server.connections');
    return key && server[key];
  };

  const closeAfterResponses = (server) => {
    const list = connectionsOf(server);
    if (!list) return;
    const { emit } = server;
    server.emit = function (...args) {
      const [event, request, response] = args;
      if (event === 'request' || event === 'checkContinue' || event === 'checkExpectation') {
        quietly(() => request.httpVersionMajor === 1 && closeAfter(response));
      }
      return emit.apply(this, args);
    };
    for (const { socket } of list.all()) {
      if (socket && socket._httpMessage) quietly(() => closeAfter(socket._httpMessage));
    }
  };

  const retire = (server) => {
    quietly(() => closeAfterResponses(server));
    quietly(() => stopAccepting(server));
  };

  // A session that closes at once would reset a request on its way, so the client is told first.
  const announce = (session) => {
    sessions.set(session, 0);
    if (!session.closed) session.goaway(0, LAST_STREAM);
  };

  // Counts checks instead of time: a busy worker has not read the data that has arrived meanwhile.
  const closeAnnounced = () => {
    for (const [session, checks] of sessions) {
      sessions.set(session, checks + 1);
      if (checks * CHECK_INTERVAL >= IDLE_TIME * 1000) quietly(() => session.close());
    }
  };

  const lastActivity = new WeakMap();
  // The connections without a request and without new data for IDLE_TIME.
  const idleOf = (server) => {
    const list = connectionsOf(server);
    if (!list) return [];
    const idle = new Set(list.idle());
    const now = uptime();
    return list.all().map((parser) => {
      const { socket } = parser;
      if (!socket) return undefined;
      const before = lastActivity.get(socket);
      if (!before || before.bytes !== socket.bytesRead || socket._httpMessage) {
        lastActivity.set(socket, { bytes: socket.bytesRead, at: now });
        return undefined;
      }
      // Node counts a connection that has sent no data yet as busy.
      const isIdle = idle.has(parser) || socket.bytesRead === 0;
      return isIdle && now - before.at >= IDLE_TIME ? socket : undefined;
    }).filter(Boolean);
  };

  const closeIdle = (server) => {
    if (idleOf(server).length === 0) return;
    // After everything that has arrived meanwhile is read: this check may be late.
    setImmediate(() => quietly(() => idleOf(server).forEach((socket) => socket.destroySoon())));
  };

  const drain = () => {
    if (draining) return;
    draining = true;
    openServers().forEach(retire);
    for (const session of sessions.keys()) quietly(() => announce(session));
    const check = () => {
      closeAnnounced();
      let open = 0;
      for (const server of openServers()) {
        quietly(() => closeIdle(server));
        open += server._connections || 0;
      }
      if (open > 0) return false;
      notify('drained');
      return true;
    };
    if (check()) return;
    const timer = setInterval(() => {
      if (quietly(check) !== false) clearInterval(timer);
    }, CHECK_INTERVAL);
    timer.unref();
  };

  quietly(() => {
    // A child made by `fork` gets these arguments, but has no channel to procrun.
    const at = process.execArgv.findIndex((arg, at, all) => arg === '--require' && all[at + 1] === __filename);
    if (at >= 0) process.execArgv.splice(at, 2);
    const { Server } = require('net');
    const { listen } = Server.prototype;
    Server.prototype.listen = function (...args) {
      quietly(() => remember(this));
      // Other workers serve already.
      if (draining) quietly(() => this.once('listening', () => retire(this)));
      return listen.apply(this, args);
    };
    process.on('internalMessage', (message) => {
      if (message && message.cmd === CMD && message.act === 'drain') quietly(drain);
    });
    notify('drains');
  });
})();
