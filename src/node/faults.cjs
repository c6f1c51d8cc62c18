'use strict';
// Runs in each Node worker before the application, by `--require`. It reports what an exit status does not
// show: that the worker cannot listen, or that an uncaught error ends it. It does not keep the process alive, and
// an error in the script has no other effect.
(() => {
  delete require.cache[__filename];
  // A thread of the worker has no channel.
  if (typeof process.send !== 'function') return;
  // An application may replace these later (test clocks, wrappers).
  const { send } = process;
  const quietly = (work) => {
    try {
      work();
    } catch {
      // Then procrun knows only the exit status.
    }
  };
  const notify = (act, more) => {
    if (process.connected) quietly(() => send.call(process, { cmd: 'NODE_PROCRUN', act, ...more }, () => {}));
  };

  // The primary knows the failures of sockets that a cluster worker has requested from it.
  const isOfCluster = (error) => error.syscall === 'bind' && require('cluster').isWorker;
  const isOfListening = (error) =>
    Boolean(error) && (error.syscall === 'listen' || error.syscall === 'bind') && Number.isInteger(error.errno);

  // The errors that have been reported, so that none is reported twice.
  const reported = new WeakSet();
  // Whether a server could not listen and no server has listened since.
  let hasFailed = false;
  const cannotListen = (error, handled = false) => {
    if (!isOfListening(error) || reported.has(error) || isOfCluster(error)) return;
    reported.add(error);
    // `::` is the default of Node.
    const address = typeof error.address === 'string' && error.address !== '::' ? error.address : undefined;
    hasFailed = true;
    notify('cannot-listen', { address, port: error.port, errno: error.errno, handled });
  };

  // The servers that have listened and are not closed.
  const servers = new Set();
  const listens = (server) => {
    servers.add(server);
    // An application that tries several ports makes a new server for each.
    if (hasFailed) notify('listens');
    hasFailed = false;
  };
  // An application that listens already works, even if it catches the error of an optional port that is in use.
  const isListening = () => [...servers].some((server) => server.listening);

  quietly(() => {
    // A child made by `fork` gets these arguments, but has no channel to procrun.
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
      // The application continues, or ends by its own decision.
      if (process.listenerCount('uncaughtException') > 0) return;
      if (process.hasUncaughtExceptionCaptureCallback()) return;
      // Also errors of other sockets, such as UDP, and while a server listens: the error ends the worker.
      quietly(() => cannotListen(error));
      notify('uncaught', { origin });
    });
  });
})();
