'use strict';
// Runs in each Node worker with a `heartbeat` before the application, by `--require`. It sends
// a heartbeat at intervals, which shows that the event loop runs. procrun restarts a worker whose heartbeat stops.
// The script does not keep the process alive, and an error in it has no other effect.
(() => {
  delete require.cache[__filename];
  // A thread of the worker has no channel.
  if (typeof process.send !== 'function') return;
  // An application may replace these later (test clocks, wrappers).
  const { send } = process;
  const { setInterval } = globalThis;
  const quietly = (work) => {
    try {
      work();
    } catch {
      // Then the heartbeat stops.
    }
  };
  quietly(() => {
    // A child made by `fork` gets these arguments, but has no channel to procrun.
    const at = process.execArgv.findIndex((arg, at, all) => arg === '--require' && all[at + 1] === __filename);
    if (at >= 0) process.execArgv.splice(at, 2);
    const limit = Number(process.env.WATCHDOG_USEC) / 1000;
    if (!(limit > 0)) return;
    // Three heartbeats in the time limit, so that a late one has no effect. The first one comes from the event loop:
    // until then the application is loading.
    const beat = () => {
      if (process.connected) quietly(() => send.call(process, { cmd: 'NODE_PROCRUN', act: 'beat' }, () => {}));
    };
    setInterval(beat, Math.min(Math.max(limit / 3, 10), 2 ** 31 - 1)).unref();
  });
})();
