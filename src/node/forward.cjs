'use strict';
// Runs in the Node of npm, yarn and other package runners, by `--require`, or by NODE_OPTIONS where a shell script
// starts them. The channel is for the application that they start: Node opens the channel in NODE_CHANNEL_FD, so only
// their children get this variable. A child that may be a package runner itself gets this script by NODE_OPTIONS
// instead. There the script passes the channel on, or opens it if that Node is the application. An error in the
// script has no other effect.
(() => {
  delete require.cache[__filename];
  const { env, execArgv } = process;
  const at = execArgv.findIndex((arg, at, all) => arg === '--require' && all[at + 1] === __filename);
  if (at >= 0) execArgv.splice(at, 2);
  // Threads of the application run this, too, and have no channel.
  const fd = env.PROCRUN_CHANNEL_FD;
  if (!fd) return;
  delete env.PROCRUN_CHANNEL_FD;
  const quietly = (work) => {
    try {
      return work();
    } catch {
      // Then the application has no channel.
    }
  };

  // Packages whose programs run the application in a child of their own.
  const packages = PACKAGE_RUNNERS;
  // Their programs, and others that run the scripts of a package.
  const programs = new Set(PACKAGE_RUNNER_PROGRAMS);
  const option = `--require ${__filename}`;

  const isRunner = () => {
    const { existsSync, readFileSync, realpathSync } = require('fs');
    const { basename, dirname, join } = require('path');
    const script = realpathSync(process.argv[1]);
    // A project may contain its own release of Yarn.
    if (/^yarn-[\w.-]+\.[cm]?js$/.test(basename(script))) return true;
    for (let [dir, last] = [dirname(script), '']; dir !== last; [dir, last] = [dirname(dir), dir]) {
      const file = join(dir, 'package.json');
      const { name } = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
      if (name) return packages.includes(name);
    }
    return false;
  };

  const mayHoldRunner = ({ file, args }) => {
    const words = [file, ...(args ?? [])].join(' ').split(/[\s;&|()<>'"`]+/);
    // A Node with the permission model must not read this file.
    if (words.some((word) => /^--(experimental-)?permission$/.test(word))) return false;
    return words.some((word) => programs.has(word.replace(/^.*\//, '').replace(/\.[cm]?js$/, '')));
  };

  const passOn = (options) => {
    const { envPairs } = options;
    const own = `NODE_CHANNEL_FD=${fd}`;
    // A child with another environment does not get the channel.
    if (!envPairs?.includes(own) || !mayHoldRunner(options)) return;
    const isOther = (pair) => pair !== own && !/^NODE_(CHANNEL_SERIALIZATION_MODE|OPTIONS)=/.test(pair);
    const before = envPairs.find((pair) => pair.startsWith('NODE_OPTIONS='))?.slice('NODE_OPTIONS='.length);
    const nodeOptions = before ? `${option} ${before}` : option;
    options.envPairs = [
      ...envPairs.filter(isOther), `PROCRUN_CHANNEL_FD=${fd}`, `NODE_OPTIONS=${nodeOptions}`,
    ];
  };

  const nodeOptions = env.NODE_OPTIONS ?? '';
  const isNested = nodeOptions.includes(option);
  if (isNested) {
    env.NODE_OPTIONS = nodeOptions.replace(option, '').trim();
    if (!env.NODE_OPTIONS) delete env.NODE_OPTIONS;
  }
  if (isNested && !quietly(isRunner)) {
    // Node itself does this before it loads any module.
    if (!process.channel) quietly(() => require('child_process')._forkChild(Number(fd), 'json'));
    return;
  }
  env.NODE_CHANNEL_FD = fd;
  env.NODE_CHANNEL_SERIALIZATION_MODE = 'json';
  quietly(() => {
    // NODE_OPTIONS cannot hold such a path.
    if (/[\s"\\]/.test(__filename)) return;
    const { ChildProcess } = require('child_process');
    const { spawn } = ChildProcess.prototype;
    ChildProcess.prototype.spawn = function (options) {
      quietly(() => passOn(options));
      return spawn.call(this, options);
    };
  });
})();
