'use strict';
// Runs in each Node worker with a `heartbeat` before the application, by `--require`. It says again and
// again that the event loop turns; procrun ends a worker that no longer says so. It keeps nothing
// alive, and an error in here stays in here.
(() => {
  delete require.cache[__filename];
  // A thread of the worker has no channel.
  if (typeof process.send !== 'function') return;
  // What an application may replace later (test clocks, wrappers).
  const { send } = process;
  const { setInterval } = globalThis;
  const quietly = (work) => {
    try {
      work();
    } catch {
      // Then procrun hears nothing.
    }
  };
  quietly(() => {
    // A child made by `fork` gets these arguments, and has no procrun.
    const at = process.execArgv.findIndex((arg, at, all) => arg === '--require' && all[at + 1] === __filename);
    if (at >= 0) process.execArgv.splice(at, 2);
    const within = Number(process.env.WATCHDOG_USEC) / 1000;
    if (!(within > 0)) return;
    // Three times, so that a late heartbeat ends no worker. Not before the first turn of the loop: until
    // then the application is loading.
    const beat = () => {
      if (process.connected) quietly(() => send.call(process, { cmd: 'NODE_PROCRUN', act: 'beat' }, () => {}));
    };
    setInterval(beat, Math.min(Math.max(within / 3, 10), 2 ** 31 - 1)).unref();
  });
})();
