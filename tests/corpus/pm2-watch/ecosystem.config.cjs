module.exports = {
  apps: [
    {
      name: 'api',
      script: 'api.js',
      watch: ['server', 'client'],
      watch_delay: 1000,
      ignore_watch: ['node_modules', '[\\/\\\\]\\./', /\.git/],
      watch_options: {
        usePolling: false,
        followSymlinks: false,
        ignoreInitial: true,
        persistent: true,
        depth: Infinity,
        ignored: /x/,
        awaitWriteFinish: { stabilityThreshold: 1500, pollInterval: 100 },
        somethingElse: 1,
      },
    },
    { name: 'b', script: 'b.js', watch: 'lib', watch_delay: 0, watch_options: { awaitWriteFinish: true, cwd: 'sub' } },
    { name: 'c', script: 'c.js', watch: '', ignore_watch: '' },
    { name: 'd', script: 'd.js', watch: 1, watch_options: { depth: -1, interval: 'soon', followSymlinks: 'no' } },
    { name: 'e', script: 'e.js', watch: [1], watch_options: true },
  ],
};
