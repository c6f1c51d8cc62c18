//! The script that procrun preloads into workers so that they can drain: an application does not notice it.

use std::{os::unix::fs::PermissionsExt, path::Path};

use crate::support::{Bed, SIGTERM};

use super::{SERVER, app, port_of, scale};

#[test]
fn an_application_does_not_see_the_script() {
    let script = r"
const { fork } = require('child_process');
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (process.argv[2] === 'child') {
  console.log('child', process.execArgv.length);
  process.exit(0);
} else if (!isMainThread) {
  parentPort.postMessage(`hello ${Object.keys(require.cache).length}`);
} else {
  Promise.resolve().then(() => console.log('then a promise'));
  process.nextTick(() => console.log('first a tick'));
  console.log('main', require.main === module, module.parent, process.argv.length, process.execArgv.join());
  console.log('cache', Object.keys(require.cache).length, process.listenerCount('message'));
  process.on('message', (message) => console.log('message', message));
  fork(__filename, ['child']);
  const thread = new Worker(__filename).on('message', (text) => { console.log('thread', text); thread.terminate(); });
  const server = require('http').createServer((request, response) => response.end(`${process.pid}`));
  server.listen(0, () => {
    const { port } = server.address();
    console.log('listening on', port);
    process.on('SIGINT', () => {
      console.log('still', server.listening, server.address().port === port);
      server.close((error) => { console.log('closed', error, server.listening); process.exit(0); });
    });
  });
}
";
    let user = if nix::unistd::geteuid().is_root() { "user = \"nobody\"" } else { "" };
    let keys = format!("interpreter_args = \"--no-warnings\"\n{user}");
    let bed = Bed::with_files(&app(2, &keys), &[("app.js", script)]);
    std::fs::set_permissions(bed.path("app.js"), PermissionsExt::from_mode(0o644)).unwrap();
    // The script is for every user, whatever the umask.
    let mut procrun =
        bed.launch(&["ecosystem.toml", "--log-level", "debug"]).system_path().after("umask 077").start();
    procrun.wait_for_lines("main true null 2 --no-warnings", 2);
    procrun.wait_for_lines("cache 1 1", 2);
    procrun.wait_for_lines("child 1", 2);
    procrun.wait_for_lines("thread hello 1", 2);
    let order = procrun.out().lines_with("a tick").len() + procrun.out().lines_with("a promise").len();
    assert_eq!(order, 4);
    port_of(&procrun, 2);
    scale(&procrun, &bed, 1, &keys);
    procrun.wait_for_err_lines("app (1) exited: code 0", 1);
    procrun.wait_for_lines("still true true", 1);
    procrun.wait_for_lines("closed undefined false", 1);
    assert!(procrun.out().lines_with("message {").is_empty());
    procrun.expect_stop();
}

#[test]
fn the_script_exists_as_long_as_procrun_runs() {
    let bed = Bed::with_files(&app(1, ""), &[("app.js", SERVER)]);
    let mut procrun = bed.start_with_debug_log();
    port_of(&procrun, 1);
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", procrun.worker())).unwrap();
    let mut words = arguments.split('\0').skip_while(|word| *word != "--require");
    let script = Path::new(words.nth(1).expect("a script")).to_owned();
    assert!(script.exists());

    // The directory is removed: the next worker needs it again.
    std::fs::remove_file(&script).unwrap();
    scale(&procrun, &bed, 2, "");
    procrun.wait_for_lines("listening on", 2);
    assert!(procrun.err().lines_with("exited").is_empty());
    procrun.expect_stop();
    assert!(!script.exists());
    let left = std::fs::read_dir(script.parent().unwrap()).unwrap();
    let of_this = |name: &str| arguments.split(['\0', '/']).any(|part| part == name);
    assert!(!left.flatten().any(|entry| of_this(&entry.file_name().to_string_lossy())));
}

#[test]
fn without_a_directory_for_the_script_workers_get_their_signal_at_once() {
    let bed = Bed::with_files(&app(2, ""), &[("app.js", SERVER)]);
    let read_only = "for place in /dev/shm /run; do mount -t tmpfs -o ro none $place; done";
    let mut procrun = bed
        .launch(&["ecosystem.toml", "--log-level", "debug"])
        .env("TMPDIR", "/nowhere")
        .own_mounts()
        .after(read_only)
        .start();
    port_of(&procrun, 2);
    let said = procrun.wait_for_err_lines("cannot write the script that drains workers", 1);
    assert!(said[0].contains("/dev/shm: Read-only") && said[0].contains("/nowhere: No such"), "{said:?}");
    scale(&procrun, &bed, 1, "");
    procrun.wait_for_err_lines("app (1) exited: signal SIGINT", 1);
    assert_eq!(procrun.err().lines_with("cannot write the script").len(), 1);
    procrun.expect_stop();
}

#[test]
fn a_worker_with_false_drain_messages_is_reported() {
    let script = r"
const say = (act) => process.send({ cmd: 'NODE_PROCRUN', act });
say('drained');
say('drained');
say('fly');
setInterval(() => {}, 1000);
";
    let bed = Bed::with_files(&app(1, ""), &[("app.js", script)]);
    let mut procrun = bed.start_with_debug_log();
    procrun.wait_for_err_lines("reported the end of a drain that was not requested", 1);
    procrun.wait_for_err_lines("sent a cluster message that Node does not have", 1);
    assert_eq!(procrun.err().lines_with("reported the end of a drain").len(), 1);
    procrun.signal(SIGTERM);
    procrun.expect_code(0);
}
