// Evaluates an ecosystem file and writes what it exports as one line of JSON behind a marker.
// FILE_URL, MARKER, RESPAWNED and PROGRAM_TEXT (what follows it) are constants that stand before it.
(async () => {
  const { writeSync } = require('fs');
  const report = (json) => {
    let bytes = Buffer.from('\n' + MARKER + json + '\n');
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(writeSync(1, bytes));
      } catch (error) {
        if (error.code !== 'EAGAIN') throw error;
      }
    }
  };
  const typed = /\.[cm]?ts$/.test(FILE_URL) && !process.versions.bun && !process.features.typescript;
  if (typed && !RESPAWNED) {
    const strip = '--experimental-strip-types';
    const strips = process.allowedNodeEnvironmentFlags.has(strip);
    const [runtime, flags] = strips ? [process.execPath, [strip, '--no-warnings']] : ['bun', []];
    const program = PROGRAM_TEXT.replace('RESPAWNED = false', 'RESPAWNED = true');
    const args = [...flags, '-e', program, '--', ...process.argv.slice(1)];
    const child = require('child_process').spawnSync(runtime, args, { stdio: 'inherit' });
    if (child.error) report(JSON.stringify({ untyped: process.version }));
    process.exit(child.status ?? 1);
  }
  // What `-e` lays out for a program is not there in a file: an ES module is to find that out.
  // node puts it back once when this program has run, so it goes after that.
  await new Promise(setImmediate);
  for (const name of ['module', 'exports', 'require', '__filename', '__dirname']) delete globalThis[name];
  const kind = (value) => {
    if (value === null) return 'null';
    if (Array.isArray(value)) return 'list';
    return typeof value === 'object' && typeof value.then === 'function' ? 'promise' : typeof value;
  };
  const before = { ...process.env };
  try {
    const module = await import(FILE_URL);
    let value = 'default' in module ? module.default : { ...module };
    if (value && value.__esModule && 'default' in value) value = value.default;
    const found = kind(value);
    const said = Object.entries({ ...process.env }).filter(([name, value]) => before[name] !== value);
    const env = JSON.stringify(Object.fromEntries(said));
    // JSON has no place for them.
    const functions = [];
    const note = (key, value) => {
      if (typeof value === 'function') functions.push(key);
      return value;
    };
    if (found === 'object' || found === 'list') {
      const json = JSON.stringify(value, note);
      report(`{"value":${json},"env":${env},"functions":${JSON.stringify(functions)}}`);
    } else report(JSON.stringify({ exports: found }));
    process.exit(0);
  } catch (error) {
    const proper = Boolean(error) && typeof error.stack === 'string';
    report(JSON.stringify({
      thrown: proper ? error.name + ': ' + error.message : String(error),
      stack: proper ? error.stack : '',
    }));
    // The runtime prints it once more: the place of some syntax errors is only there.
    process.removeAllListeners('uncaughtException');
    setImmediate(() => { throw error; });
  }
})();
