'use strict';
// Runs in each Node worker before the application, by `--require`. It reports what an exit status does not
// say: that the worker cannot listen, or that an error ends it which nothing catches. It does nothing
// before that. It keeps nothing alive, and an error in here stays in here.
(() => {
  delete require.cache[__filename];
  // A thread of the worker has no channel.
  if (typeof process.send !== 'function') return;
  // What an application may replace later (test clocks, wrappers).
  const { send } = process;
  const quietly = (work) => {
    try {
      work();
    } catch {
      // Then procrun knows only the exit status.
    }
  };
  const say = (act, more) => {
    if (process.connected) quietly(() => send.call(process, { cmd: 'NODE_PROCRUN', act, ...more }, () => {}));
  };

  // What a worker asked its cluster for, the cluster knows.
  const isKnown = (error) => error.syscall === 'bind' && require('cluster').isWorker;
  const isOfListening = (error) =>
    Boolean(error) && (error.syscall === 'listen' || error.syscall === 'bind') && Number.isInteger(error.errno);

  // The errors that have been reported, so that none is twice.
  const reported = new WeakSet();
  // Whether a server could not listen and no server has listened since.
  let hasFailed = false;
  const cannotListen = (error, handled = false) => {
    if (!isOfListening(error) || reported.has(error) || isKnown(error)) return;
    reported.add(error);
    // `::` is what Node takes when it is told nothing.
    const address = typeof error.address === 'string' && error.address !== '::' ? error.address : undefined;
    hasFailed = true;
    say('cannot-listen', { address, port: error.port, errno: error.errno, handled });
  };

  // The servers that have listened and are not closed.
  const servers = new Set();
  const listens = (server) => {
    servers.add(server);
    // An application that tries several ports makes a new server for each.
    if (hasFailed) say('listens');
    hasFailed = false;
  };
  // An application that listens already does its work, also if it catches that an optional port is in use.
  const isListening = () => [...servers].some((server) => server.listening);

  quietly(() => {
    // A child made by `fork` gets these arguments, and has no procrun.
    const at = process.execArgv.findIndex((arg, at, all) => arg === '--require' && all[at + 1] === __filename);
    if (at >= 0) process.execArgv.splice(at, 2);
    const { Server } = require('net');
    const { errorMonitor } = require('events');
    const { listen } = Server.prototype;
    const seen = new WeakSet();
    Server.prototype.listen = function (...args) {
      quietly(() => {
        if (seen.has(this)) return;
        seen.add(this);
        // Called before the application's own listeners, and unlike them it does not catch the error.
        this.on(errorMonitor, (error) => quietly(() => {
          // Without a listener the error is thrown, and at most `uncaughtException` keeps the process alive.
          if (!isListening()) cannotListen(error, this.listenerCount('error') > 0);
        }));
        this.on('listening', () => quietly(() => listens(this)));
        this.on('close', () => servers.delete(this));
      });
      return listen.apply(this, args);
    };
    process.on('uncaughtExceptionMonitor', (error, origin) => {
      // The application goes on, or ends by its own decision.
      if (process.listenerCount('uncaughtException') > 0) return;
      if (process.hasUncaughtExceptionCaptureCallback()) return;
      // Also of what is no server, such as a socket of datagrams, and whatever listens: this ends it.
      quietly(() => cannotListen(error));
      say('uncaught', { origin });
    });
  });
})();
