//! Which processes of a worker get its stop signal: through shells and package runners what they run in the
//! foreground, of everything else the main process alone. With the real programs; as root.

use std::{os::unix::fs::symlink, path::Path};

use super::{SIGINT, SIGTERM};
use crate::support::{Bed, Procrun, last_pid, procfs, wait_until};

/// Says each signal that it gets, and ends a moment after the first.
const APP: &str = "for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => {
  console.log('got ' + signal);
  setTimeout(() => { console.log('drained'); process.exit(0); }, 300);
});
console.log('up ' + process.pid);
setInterval(() => {}, 1000);
";

/// Longer than a test waits for an end: if the application is killed, the test fails.
const PATIENT: &str = "kill_timeout = \"5m\"\n";

/// A bed with the application and one app that runs it by this script and these arguments.
fn bed_of(script: &str, args: &[&str], keys: &str) -> Bed {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"app\"\nscript = \"{script}\"\nargs = {args:?}\nmin_uptime = 0\n{PATIENT}{keys}"
    ));
    bed.file("app.js", APP);
    bed
}

fn name(signal: i32) -> &'static str {
    if signal == SIGINT { "SIGINT" } else { "SIGTERM" }
}

/// The signals that the application has got.
fn got(run: &Procrun) -> Vec<String> {
    let words = |line: String| line.split("got ").nth(1).unwrap_or_default().to_owned();
    run.out().lines_with("got ").into_iter().map(words).collect()
}

/// After this stop signal the application has got these, has drained, and nothing is left.
#[track_caller]
fn stops(bed: &Bed, signal: i32, expected: &[&str]) -> Procrun {
    let mut run = bed.start(&["ecosystem.toml", "--log-level", "debug"]);
    let app = last_pid(&run.wait_for_line("up "));
    run.pid();
    run.signal(signal);
    run.expect_code(0);
    assert_eq!(got(&run), expected, "{}", run.story());
    assert_eq!(run.out().lines_with("drained").len(), 1, "{}", run.story());
    assert!(!procfs::alive(app), "{}", run.story());
    assert_eq!(run.others(), [0_i32; 0], "{}", run.story());
    run
}

/// Shells that Debian has, and how each runs a script.
const SHELLS: [(&str, &str); 4] = [
    ("bash", "#!/bin/bash"),
    ("dash", "#!/bin/dash"),
    ("busybox", "#!/bin/busybox sh"),
    ("zsh", "#!/bin/zsh"),
];

#[test]
fn what_a_shell_runs_in_the_foreground_gets_the_stop_signal() {
    for (shell, head) in SHELLS {
        for signal in [SIGINT, SIGTERM] {
            let bed = bed_of("./start.sh", &[], "");
            bed.script("start.sh", format!("{head}\nnode app.js\necho \"after $?\"\n"));
            let run = stops(&bed, signal, &[name(signal)]);
            // Without a trap SIGTERM ends the shell at once; nothing of it runs on.
            assert!(signal == SIGINT || run.out().lines_with("after").is_empty(), "{shell}{}", run.story());
        }
    }
}

#[test]
fn a_trap_runs_because_the_foreground_process_ends_too() {
    for (shell, head) in SHELLS {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"job\"\nscript = \"./job.sh\"\ninterpreter = \"none\"\n{PATIENT}"
        ));
        let script =
            "trap 'echo \"cleaning up\"; exit 0' INT TERM\necho up\nwhile true; do sleep 1000; done\n";
        bed.script("job.sh", format!("{head}\n{script}"));
        for signal in [SIGINT, SIGTERM] {
            let mut run = bed.start(&["ecosystem.toml"]);
            run.wait_for_line("up");
            // Before it executes its program, the second process is a copy of the shell and handles signals.
            let is_sleep = |pid: &i32| {
                std::fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| name.trim_end() == "sleep")
            };
            wait_until("its sleep", || run.children().len() == 1 && run.others().iter().any(is_sleep));
            run.signal(signal);
            run.expect_code(0);
            assert_eq!(run.out().lines_with("cleaning up").len(), 1, "{shell}{}", run.story());
        }
    }
}

/// A trap that stops the job is how entry points forward a signal: the job must not get two.
#[test]
fn a_job_in_the_background_is_left_to_its_script() {
    for (shell, head) in &SHELLS[..3] {
        for signal in [SIGINT, SIGTERM] {
            let bed = bed_of("./start.sh", &[], "");
            bed.script(
                "start.sh",
                format!(
                    "{head}\ntrap 'echo trapped; kill -TERM $job' INT TERM\nnode app.js &\njob=$!\nwait $job\nwait $job\n\
                     echo \"the job ended with $?\"\n"
                ),
            );
            let run = stops(&bed, signal, &["SIGTERM"]);
            assert_eq!(run.out().lines_with("trapped").len(), 1, "{shell}{}", run.story());
            assert_eq!(run.out().lines_with("the job ended with 0").len(), 1, "{shell}{}", run.story());
        }
    }
}

/// POSIX lets such a job ignore SIGINT: it has to be asked by another signal.
#[test]
fn a_job_in_the_background_without_a_trap_gets_sigterm_when_its_shell_has_ended() {
    for (_, head) in SHELLS {
        for signal in [SIGINT, SIGTERM] {
            let bed = bed_of("./start.sh", &[], "");
            bed.script("start.sh", format!("{head}\nnode app.js &\nwait\n"));
            stops(&bed, signal, &["SIGTERM"]);
        }
    }
}

#[test]
fn what_ignores_the_stop_signal_gets_sigterm_when_the_application_has_ended() {
    let bed = bed_of("node", &["parent.js"], "");
    bed.file(
        "parent.js",
        "const child = require('child_process').exec(\"sh -c 'trap \\\"\\\" INT; echo ignoring; exec sleep 1000' & cat\");
         child.stdout.on('data', () => console.log('up ' + child.pid));
         process.on('SIGINT', () => { console.log('got SIGINT'); console.log('drained'); process.exit(0); });",
    );
    stops(&bed, SIGINT, &["SIGINT"]);
}

/// Packages of `tests/setup.sh test`.
fn installed(bed: &Bed) {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/apps/node_modules");
    assert!(packages.exists(), "there is no {}: run tests/setup.sh test", packages.display());
    symlink(packages, bed.path("node_modules")).unwrap();
}

/// npm -> sh -> npm -> sh -> node. npm forwards signals to its shell, which forwards nothing.
#[test]
fn package_runners_pass_the_stop_signal_on_once() {
    let runners: [(&str, &[&str]); 9] = [
        ("npm", &["start"]),
        ("npm", &["run", "chain"]),
        ("npm", &["run", "parallel"]),
        ("npx", &["-c", "node app.js"]),
        ("node_modules/.bin/yarn", &["start"]),
        ("node_modules/.bin/yarn", &["run", "chain"]),
        ("node_modules/.bin/pnpm", &["start"]),
        ("node_modules/.bin/pnpm", &["run", "chain"]),
        ("sh", &["-c", "npm start; echo after"]),
    ];
    for (script, args) in runners {
        for signal in [SIGINT, SIGTERM] {
            let bed = bed_of(script, args, "");
            installed(&bed);
            bed.file(
                "package.json",
                r#"{ "name": "x", "version": "1.0.0", "scripts": { "start": "A=1 node app.js && echo after", "chain": "npm start", "parallel": "run-p start" } }"#,
            );
            stops(&bed, signal, &[name(signal)]);
        }
    }
}

#[test]
fn inits_in_front_of_an_application_pass_the_stop_signal_on_once() {
    let inits: [(&str, &[&str]); 9] = [
        ("tini", &["--", "node", "app.js"]),
        ("tini", &["--", "bash", "start.sh"]),
        ("tini", &["-g", "--", "bash", "start.sh"]),
        ("dumb-init", &["node", "app.js"]),
        ("dumb-init", &["-c", "bash", "start.sh"]),
        ("catatonit", &["--", "bash", "start.sh"]),
        ("timeout", &["1000", "bash", "start.sh"]),
        ("setsid", &["-w", "node", "app.js"]),
        // The shell ends by SIGTERM at once, and su would forward a signal that it gets as a leftover.
        ("sh", &["-c", "su root -c 'node app.js'; echo after"]),
    ];
    for (script, args) in inits {
        for signal in [SIGINT, SIGTERM] {
            let bed = bed_of(script, args, "");
            bed.file("start.sh", "node app.js\necho after\n");
            stops(&bed, signal, &[name(signal)]);
        }
    }
}

/// dumb-init and timeout send the signal to a process group. A helper in a session of its own is a leftover,
/// which gets SIGTERM and not just SIGKILL.
#[test]
fn what_has_left_the_group_of_its_init_gets_sigterm_when_the_init_has_ended() {
    let inits: [(&str, &[&str]); 3] = [
        ("dumb-init", &["bash", "start.sh"]),
        ("tini", &["-g", "--", "bash", "start.sh"]),
        ("timeout", &["1000", "bash", "start.sh"]),
    ];
    for (script, args) in inits {
        for signal in [SIGINT, SIGTERM] {
            let bed = bed_of(script, args, "");
            bed.file("start.sh", "setsid node app.js &\nsleep 1000\n");
            stops(&bed, signal, &["SIGTERM"]);
        }
    }
}

/// A program in place of the shell that started it is no shell any more.
#[test]
fn what_a_shell_has_become_is_the_application() {
    for signal in [SIGINT, SIGTERM] {
        let bed = bed_of("bash", &["-c", "exec node parent.js"], "");
        bed.file(
            "parent.js",
            "const child = require('child_process').spawn(process.execPath, ['app.js'], { stdio: ['ignore', 'inherit', 'inherit'] });
             const stop = () => child.kill('SIGTERM');
             process.on('SIGINT', stop); process.on('SIGTERM', stop);
             child.on('exit', code => process.exit(code));",
        );
        stops(&bed, signal, &["SIGTERM"]);
    }
}

/// A master and two workers, each of which says what it gets and ends. The master ends its workers, as soon as there
/// is the file `go` if it has the argument `later`; with another argument it waits for them.
const MASTER: &str = r#"#!/usr/bin/env python3
import os, signal, sys, time
wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
def get(who):
    got = signal.sigwaitinfo(wanted)
    os.write(1, b"%s got %d from %s\n" % (who, got.si_signo, b"master" if got.si_pid == master else b"outside"))
    return got.si_signo
master = os.getpid()
workers = []
for _ in range(2):
    if (pid := os.fork()) == 0:
        os.write(1, b"worker up\n")
        get(b"worker")
        os._exit(0)
    workers.append(pid)
os.write(1, b"master up\n")
get(b"master")
while "later" in sys.argv and not os.path.exists("go"):
    time.sleep(0.01)
for pid in workers:
    if sys.argv[1:] in ([], ["later"]):
        os.kill(pid, signal.SIGUSR1)
for pid in workers:
    os.waitpid(pid, 0)
"#;

/// An app that is a [`MASTER`], by a line of keys.
fn master(script: &str, keys: &str) -> Bed {
    let bed = Bed::with(&format!("[[apps]]\nname = \"app\"\nscript = \"{script}\"\n{PATIENT}{keys}"));
    bed.script("master.py", MASTER);
    bed.script("start.sh", "#!/bin/bash\n./master.py \"$@\"\necho \"ended with $?\"\n");
    bed
}

/// The lines `WHO got SIGNAL from SENDER` after a stop by this signal, sorted.
fn got_of_master(bed: &Bed, signal: i32) -> Vec<String> {
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_lines("worker up", 2);
    run.wait_for_line("master up");
    run.pid();
    run.signal(signal);
    run.expect_code(0);
    let words = |line: String| line.rsplit("| ").next().unwrap_or_default().to_owned();
    let mut lines: Vec<String> = run.out().lines_with(" got ").into_iter().map(words).collect();
    lines.sort();
    lines
}

#[test]
fn the_workers_of_a_master_get_only_what_the_master_sends() {
    for script in ["./master.py", "./start.sh"] {
        for signal in [SIGINT, SIGTERM] {
            let expected = [
                format!("master got {signal} from outside"),
                "worker got 10 from master".to_owned(),
                "worker got 10 from master".to_owned(),
            ];
            assert_eq!(got_of_master(&master(script, ""), signal), expected, "{script}");
        }
    }
}

/// A shell ends at once by SIGTERM. What it leaves behind includes the workers of a master that has got the signal.
#[test]
fn the_workers_of_a_master_that_a_shell_leaves_behind_get_only_what_the_master_sends() {
    let bed = master("./start.sh", "args = \"later\"\n");
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_lines("worker up", 2);
    run.wait_for_line("master up");
    run.signal(SIGTERM);
    run.wait_for_err("waiting for");
    bed.file("go", "");
    run.expect_code(0);
    assert_eq!(run.out().lines_with("worker got 10 from master").len(), 2, "{}", run.story());
}

#[test]
fn stop_signal_scope_selects_the_processes_that_get_the_stop_signal() {
    for scope in ["group", "tree"] {
        let bed = master("./start.sh", &format!("args = \"wait\"\nstop_signal_scope = \"{scope}\"\n"));
        let all = ["master got 15 from outside", "worker got 15 from outside", "worker got 15 from outside"];
        assert_eq!(got_of_master(&bed, SIGTERM), all, "{scope}");
    }
    let bed = master("./master.py", "stop_signal_scope = \"main\"\n");
    assert_eq!(got_of_master(&bed, SIGTERM)[0], "master got 15 from outside");
    // The shell alone gets it and ends; what it leaves behind gets SIGTERM, workers too.
    let bed =
        master("./start.sh", "args = \"wait\"\nstop_signal_scope = \"main\"\nkill_signal = \"SIGUSR2\"\n");
    let all = ["master got 15 from outside", "worker got 15 from outside", "worker got 15 from outside"];
    assert_eq!(got_of_master(&bed, SIGTERM), all);
}

/// nginx says of each signal where it came from; its master speaks with the workers by another way.
#[test]
fn the_workers_of_nginx_are_ended_by_its_master() {
    for script in ["./nginx.sh", "./exec.sh"] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"web\"\nscript = \"{script}\"\nkill_signal = \"SIGQUIT\"\n{PATIENT}"
        ));
        bed.file(
            "nginx.conf",
            "daemon off;\nmaster_process on;\nworker_processes 2;\nerror_log stderr notice;\npid nginx.pid;\n\
             events {}\nhttp { access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;\n\
             uwsgi_temp_path t4; scgi_temp_path t5; server { listen unix:web.sock; } }\n",
        );
        bed.script("nginx.sh", "#!/bin/sh\nnginx -p . -c nginx.conf\necho after\n");
        bed.script("exec.sh", "#!/bin/sh\nexec nginx -p . -c nginx.conf\n");
        let mut run = bed.start(&["ecosystem.toml"]);
        run.wait_for_err_lines("start worker process ", 2);
        run.signal(SIGTERM);
        run.expect_code(0);
        assert_eq!(run.err().lines_with("SIGQUIT) received").len(), 1, "{script}{}", run.story());
        assert_eq!(run.err().lines_with("gracefully shutting down").len(), 2, "{script}{}", run.story());
    }
}
