//! One process tree: what is counted is shown, and what is shown is ended. By other evidence than cgroups.

use std::{collections::HashSet, path::Path};

use serde_json::Value;

use super::supervisor;
use crate::support::{Bed, last_pid, procfs, wait_until, web::free_port};

/// A daemon as in the books: it forks twice, leads a session of its own, closes all files and has no
/// environment. It says its process id first.
const DAEMON: &str = r#"#!/usr/bin/env python3
import os, sys
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(write, b"%d" % os.getpid())
    os.closerange(0, 256)
    megabytes = int(sys.argv[1])
    if megabytes:
        program = "import os, time; memory = bytearray(os.urandom(1 << 20)) * %d; time.sleep(7004)"
        os.execve(sys.executable, ["daemon", "-c", program % megabytes], {})
    os.execve("/bin/sleep", ["sleep", "7003"], {})
os.wait()
print("daemon", int(os.read(read, 20)), flush=True)
"#;

/// An application whose helpers have sessions and environments of their own.
const HELPERS: &str = r"
const { spawn, execFileSync } = require('child_process');
const helper = (file, args) => spawn(file, args, { detached: true, stdio: 'ignore', env: {} }).unref();
helper('/bin/sleep', ['7001']);
helper('/usr/bin/env', ['-i', '/usr/bin/setsid', '-f', '/bin/sleep', '7002']);
execFileSync('./daemon.py', ['0'], { stdio: 'inherit' });
setInterval(() => {}, 1000);
";

/// The processes of an app that is one instance.
fn processes(bed: &Bed, app: &str) -> Vec<Value> {
    let trees = bed.command(&["tree", app, "--json"]).json();
    assert_eq!(trees["unowned"], Value::Array(Vec::new()), "only without a target");
    trees["instances"][0]["processes"].as_array().unwrap().clone()
}

fn pid(of: &Value) -> i32 {
    i32::try_from(of["pid"].as_i64().unwrap()).unwrap()
}

/// Why a process with this command line belongs to the app.
fn belongs_by<'a>(processes: &'a [Value], command: &str) -> Option<&'a str> {
    let found = processes.iter().find(|it| it["command"].as_str().unwrap().starts_with(command))?;
    found["belongs_by"].as_str()
}

#[test]
fn helpers_with_their_own_session_and_environment_end_with_a_restart_and_a_stop() {
    let bed = Bed::with("cgroup = false\n[[apps]]\nname = \"api\"\nscript = \"app.js\"\n");
    bed.file("app.js", HELPERS);
    bed.script("daemon.py", DAEMON);
    let mut run = supervisor(&bed, false, 1);
    let mut ended = HashSet::new();
    for round in 1..=3 {
        run.wait_for_lines("daemon", round);
        wait_until("all helpers", || processes(&bed, "api").len() == 4);
        let tree = processes(&bed, "api");
        assert_eq!(belongs_by(&tree, "/bin/sleep 7001"), Some("parent"), "{tree:?}");
        assert_eq!(belongs_by(&tree, "/bin/sleep 7002"), Some("limit"), "{tree:?}");
        assert_eq!(belongs_by(&tree, "sleep 7003"), Some("limit"), "{tree:?}");
        let pids: HashSet<i32> = tree.iter().map(pid).collect();
        assert!(pids.is_disjoint(&ended), "{pids:?} {ended:?}");
        let described = bed.command(&["describe", "api", "--json"]).json();
        assert_eq!(described[0]["processes"], 4);
        assert_eq!(described[0]["tree"].as_array().unwrap().len(), 4);
        bed.command(&[if round < 3 { "restart" } else { "stop" }, "api"]).ok();
        assert!(!pids.iter().any(|pid| procfs::alive(*pid)), "{pids:?}{}", run.story());
        ended.extend(pids);
    }
    assert!(bed.command(&["tree"]).ok().contains("api (0), stopped, no process"));
    assert!(bed.command(&["tree", "nothing"]).fails(1, "nothing").contains("hint"));
    run.expect_stop();
}

#[test]
fn a_server_that_overwrites_its_environment_ends_before_the_next_run_needs_its_port() {
    // Where `tests/setup.sh test` has put it, unless the system has one.
    let nginx = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/nginx/usr/sbin");
    let app = format!(
        "cgroup = false\n[[apps]]\nname = \"web\"\nscript = \"./start.sh\"\nenv = {{ WEB_PATH = {:?} }}\n",
        nginx.to_str().unwrap()
    );
    let bed = Bed::with(&app);
    let port = free_port();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}; ", bed.path("temporary").display()));
    bed.file(
        "nginx.conf",
        format!(
            "pid nginx.pid; worker_processes 1; events {{}}\nhttp {{ access_log off; {}\n\
             server {{ listen 127.0.0.1:{port}; return 200; }} }}\n",
            temporary.concat()
        ),
    );
    // In the background, as Debian starts it.
    bed.script(
        "start.sh",
        "#!/bin/sh\nPATH=$PATH:/usr/sbin:$WEB_PATH\n\
         nginx -p \"$PWD/\" -e error.log -c nginx.conf || exit 3\necho serves; exec sleep 1000\n",
    );
    let mut run = supervisor(&bed, false, 1);
    for round in 1..=3 {
        run.wait_for_lines("serves", round);
        wait_until("the worker of nginx", || processes(&bed, "web").len() >= 3);
        let tree = processes(&bed, "web");
        // A scan may have seen it below the main process.
        assert!(matches!(belongs_by(&tree, "nginx: master process"), Some("limit" | "seen")), "{tree:?}");
        assert_eq!(belongs_by(&tree, "nginx: worker process"), Some("parent"), "{tree:?}");
        bed.command(&[if round < 3 { "restart" } else { "stop" }, "web"]).ok();
        assert!(!tree.iter().any(|it| procfs::alive(pid(it))), "{}", run.story());
    }
    assert!(run.err().lines_with("code 3").is_empty(), "its port was free{}", run.story());
    run.expect_stop();
}

#[test]
fn php_fpm_ends_before_the_next_run_needs_its_port() {
    let bed = Bed::with("cgroup = false\n[[apps]]\nname = \"php\"\nscript = \"./start.sh\"\n");
    let port = free_port();
    bed.file(
        "fpm.conf",
        format!(
            "[global]\npid = fpm.pid\nerror_log = fpm.log\n[www]\nuser = nobody\ngroup = nogroup\n\
             listen = 127.0.0.1:{port}\npm = static\npm.max_children = 2\n"
        ),
    );
    // It daemonizes, writes its title over its environment, and cannot start while its port is in use.
    bed.script(
        "start.sh",
        "#!/bin/sh\nfor fpm in /usr/sbin/php-fpm*; do :; done\n\
         \"$fpm\" -n -D -R -p \"$PWD\" -y \"$PWD/fpm.conf\" || exit 3\necho serves; exec sleep 1000\n",
    );
    let mut run = supervisor(&bed, false, 1);
    for round in 1..=3 {
        run.wait_for_lines("serves", round);
        wait_until("the pool of php-fpm", || processes(&bed, "php").len() == 4);
        let tree = processes(&bed, "php");
        // A scan may have seen it below the main process.
        assert!(matches!(belongs_by(&tree, "php-fpm: master process"), Some("limit" | "seen")), "{tree:?}");
        assert_eq!(belongs_by(&tree, "php-fpm: pool www"), Some("parent"), "{tree:?}");
        bed.command(&[if round < 3 { "restart" } else { "stop" }, "php"]).ok();
        assert!(!tree.iter().any(|it| procfs::alive(pid(it))), "{}", run.story());
    }
    assert!(run.err().lines_with("code 3").is_empty(), "its port was free{}", run.story());
    run.expect_stop();
}

#[test]
fn without_treekill_a_process_leaves_the_tree_when_its_parent_ends() {
    let bed = Bed::with("[[apps]]\nname = \"job\"\nscript = \"./job.sh\"\ntreekill = false\n");
    bed.script("job.sh", "#!/bin/sh\nsetsid sleep 7200 &\necho left $!\nexec sleep 1000\n");
    let mut run = supervisor(&bed, false, 1);
    let left = last_pid(&run.wait_for_line("left"));
    wait_until("its program", || belongs_by(&processes(&bed, "job"), "sleep 7200").is_some());
    assert_eq!(belongs_by(&processes(&bed, "job"), "sleep 7200"), Some("parent"));
    bed.command(&["restart", "job"]).ok();
    let second = last_pid(&run.wait_for_lines("left", 2)[1]);
    assert!(procfs::alive(left), "it lives on{}", run.story());
    let trees = bed.command(&["tree", "--json"]).json();
    let pids = |of: &Value| -> Vec<i32> { of.as_array().unwrap().iter().map(pid).collect() };
    assert_eq!(pids(&trees["unowned"]), [left], "{trees}");
    let own = pids(&trees["instances"][0]["processes"]);
    assert!(own.len() == 2 && own.contains(&second), "{trees}");
    assert!(bed.command(&["tree"]).ok().contains("adopted processes of no app"));
    // Neither is counted for the app nor ended with it, but nothing outlives procrun.
    run.expect_stop();
    wait_until("the end of all", || ![left, second].iter().any(|pid| procfs::alive(*pid)));
}

#[test]
fn memory_that_counts_for_the_limit_is_gone_after_the_restart() {
    let bed = Bed::with("[[apps]]\nname = \"api\"\nscript = \"./start.sh\"\nmax_memory_restart = \"40M\"\n");
    bed.script("daemon.py", DAEMON);
    bed.script(
        "start.sh",
        "#!/bin/sh\nif [ -f again ]; then ./daemon.py 0; else touch again; ./daemon.py 64; fi\nexec sleep 1000\n",
    );
    let mut run = supervisor(&bed, false, 1);
    let first = last_pid(&run.wait_for_line("daemon"));
    run.wait_for_lines("daemon", 2);
    assert!(!procfs::alive(first), "the memory that was counted{}", run.story());
    wait_until("the program that has started it to end", || processes(&bed, "api").len() == 2);
    run.expect_stop();
}
