'use strict';
// Runs in each worker of a cluster before the application, by `--require`. Until procrun says
// `drain` it only remembers which servers listen. Then the worker accepts no new connection and says
// good-bye to each client after an answer, so that no request is lost when it is asked to end.
// It leaves no trace that an application would trip over, and an error in here stays in here.
(() => {
  delete require.cache[__filename];
  // A thread of the worker has no channel.
  if (typeof process.send !== 'function') return;
  const CMD = 'NODE_PROCRUN';
  // How long a connection without a request is left open, in seconds: a request may be on its way.
  const QUIET = 1.5;
  // How often the connections are looked at, in milliseconds.
  const LOOK_EVERY = 25;
  // The greatest number of an HTTP/2 stream: "send no more", without a refusal of what is under way.
  const LAST_STREAM = 2 ** 31 - 1;

  // What an application may replace later (test clocks, wrappers).
  const { send, uptime } = process;
  const { setInterval, clearInterval, setImmediate } = globalThis;
  const quietly = (work) => {
    try {
      return work();
    } catch {
      return undefined;
    }
  };
  const say = (act) => quietly(() => send.call(process, { cmd: CMD, act }, () => {}));

  const seen = new WeakSet();
  let servers = [];
  // Of HTTP/2, and how often each was looked at since it was told that it is to end.
  const sessions = new Map();
  let draining = false;

  const living = () => servers.map((server) => server.deref()).filter(Boolean);

  const remember = (server) => {
    if (seen.has(server)) return;
    seen.add(server);
    if (servers.length % 64 === 63) servers = living().map((server) => new WeakRef(server));
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

  // In place of the handle of a server that takes no more connections: to the application it still
  // listens, so that its own `close` works as ever.
  const standIn = (handle) => {
    const name = {};
    const stand = { close() {}, ref() {}, unref() {}, hasRef: () => false };
    if (typeof handle.getsockname === 'function' && !handle.getsockname(name)) {
      stand.getsockname = (out) => (Object.assign(out, name), 0);
    }
    return stand;
  };

  const stopAccepting = (server) => {
    const handle = server._handle;
    // Only what came from procrun: others serve the connections that wait there. A socket of the
    // worker's own (`exclusive`) would take them along.
    if (!handle || !Object.prototype.hasOwnProperty.call(handle, 'close')) return;
    server._handle = standIn(handle);
    handle.close();
  };

  const isConnection = (name) => String(name).toLowerCase() === 'connection';

  // What `writeHead` may be given: an object, pairs, or names and values in turn.
  const withoutConnection = (headers) => {
    if (!Array.isArray(headers)) {
      return Object.fromEntries(Object.entries(headers).filter(([name]) => !isConnection(name)));
    }
    if (Array.isArray(headers[0])) return headers.filter(([name]) => !isConnection(name));
    return headers.filter((_, at) => !isConnection(headers[at - (at % 2)]));
  };

  // The client has sent more behind the request of this answer, and that has been read.
  const hasMore = ({ req }) => {
    const newest = req.socket && req.socket.parser && req.socket.parser.incoming;
    return Boolean(newest) && newest !== req;
  };

  // Who still sends its request would hear of a broken connection, and maybe not of its answer.
  const hearOut = (request) => {
    const { socket } = request;
    const { destroySoon } = socket;
    socket.destroySoon = function () {
      if (request.complete) return destroySoon.call(this);
      request.once('close', () => destroySoon.call(this)).resume();
    };
  };

  // The answer ends its connection, whatever the application says of `Connection`.
  const makeLast = (response) => {
    if (response.headersSent) return;
    const { writeHead } = response;
    response.writeHead = function (...args) {
      quietly(() => {
        if (this.headersSent || hasMore(this)) return;
        this.shouldKeepAlive = false;
        if (!this.req.complete) hearOut(this.req);
        const last = args.length - 1;
        if (args[last] && typeof args[last] === 'object') args[last] = withoutConnection(args[last]);
        // Node says `close` by itself then. To set it here would be a header set before, and with
        // one of those Node takes no pairs, and no name twice.
        this._removedConnection = false;
        if (this.hasHeader('Connection')) this.setHeader('Connection', 'close');
      });
      return writeHead.apply(this, args);
    };
  };

  // `Symbol(http.server.connections)`: Node's own list, which knows who is between two requests.
  const listOf = (server) => {
    const key = Object.getOwnPropertySymbols(server).find((it) => it.description === 'http.server.connections');
    return key && server[key];
  };

  const sayGoodbye = (server) => {
    const list = listOf(server);
    if (!list) return;
    const { emit } = server;
    server.emit = function (...args) {
      const [event, request, response] = args;
      if (event === 'request' || event === 'checkContinue' || event === 'checkExpectation') {
        quietly(() => request.httpVersionMajor === 1 && makeLast(response));
      }
      return emit.apply(this, args);
    };
    for (const { socket } of list.all()) {
      if (socket && socket._httpMessage) quietly(() => makeLast(socket._httpMessage));
    }
  };

  const retire = (server) => {
    quietly(() => sayGoodbye(server));
    quietly(() => stopAccepting(server));
  };

  // A session that just closed would reset a request on its way; the client learns first.
  const announce = (session) => {
    sessions.set(session, 0);
    if (!session.closed) session.goaway(0, LAST_STREAM);
  };

  // By looks and not by the clock: a worker that was busy has not read what arrived meanwhile.
  const closeAnnounced = () => {
    for (const [session, looks] of sessions) {
      sessions.set(session, looks + 1);
      if (looks * LOOK_EVERY >= QUIET * 1000) quietly(() => session.close());
    }
  };

  const noted = new WeakMap();
  // Those without a request and without a word for so long.
  const quietOf = (server) => {
    const list = listOf(server);
    if (!list) return [];
    const idle = new Set(list.idle());
    const now = uptime();
    return list.all().map((parser) => {
      const { socket } = parser;
      if (!socket) return undefined;
      const before = noted.get(socket);
      if (!before || before.bytes !== socket.bytesRead || socket._httpMessage) {
        noted.set(socket, { bytes: socket.bytesRead, at: now });
        return undefined;
      }
      // Node counts a connection that has not said anything yet as busy.
      const waits = idle.has(parser) || socket.bytesRead === 0;
      return waits && now - before.at >= QUIET ? socket : undefined;
    }).filter(Boolean);
  };

  const closeQuiet = (server) => {
    if (quietOf(server).length === 0) return;
    // Once everything that has arrived meanwhile has been read: this may be late.
    setImmediate(() => quietly(() => quietOf(server).forEach((socket) => socket.destroySoon())));
  };

  const drain = () => {
    if (draining) return;
    draining = true;
    living().forEach(retire);
    for (const session of sessions.keys()) quietly(() => announce(session));
    const look = () => {
      closeAnnounced();
      let open = 0;
      for (const server of living()) {
        quietly(() => closeQuiet(server));
        open += server._connections || 0;
      }
      if (open > 0) return false;
      say('drained');
      return true;
    };
    if (look()) return;
    const timer = setInterval(() => {
      if (quietly(look) !== false) clearInterval(timer);
    }, LOOK_EVERY);
    timer.unref();
  };

  quietly(() => {
    // A child made by `fork` gets these arguments, and has no procrun.
    const at = process.execArgv.findIndex((arg, at, all) => arg === '--require' && all[at + 1] === __filename);
    if (at >= 0) process.execArgv.splice(at, 2);
    const { Server } = require('net');
    const { listen } = Server.prototype;
    Server.prototype.listen = function (...args) {
      quietly(() => remember(this));
      // Others serve already.
      if (draining) quietly(() => this.once('listening', () => retire(this)));
      return listen.apply(this, args);
    };
    process.on('internalMessage', (message) => {
      if (message && message.cmd === CMD && message.act === 'drain') quietly(drain);
    });
    say('drains');
  });
})();
