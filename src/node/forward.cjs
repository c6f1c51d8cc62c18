'use strict';
// Runs in the Node of npm, yarn and their like, by `--require`. The channel is for the application that they
// start and not for them: Node takes the channel that NODE_CHANNEL_FD names, so that name is given to
// their children only. An error in here stays in here.
(() => {
  delete require.cache[__filename];
  const { env, execArgv } = process;
  const at = execArgv.findIndex((arg, at, all) => arg === '--require' && all[at + 1] === __filename);
  if (at >= 0) execArgv.splice(at, 2);
  if (!env.PROCRUN_CHANNEL_FD) return;
  env.NODE_CHANNEL_FD = env.PROCRUN_CHANNEL_FD;
  env.NODE_CHANNEL_SERIALIZATION_MODE = 'json';
  delete env.PROCRUN_CHANNEL_FD;
})();
