//! The system calls of the supervisor's thread, from its first to its last one: it makes those that
//! docs/design/supervisor-thread.md lists and no others.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{self, Bed, workers};

/// Calls that cannot wait, whatever their arguments are.
const ALWAYS: &[&str] = &[
    "accept4",
    "bind",
    "brk",
    "clock_gettime",
    "clone",
    "clone3",
    "close",
    "connect",
    "dup",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "eventfd2",
    "fchmod",
    "fchown",
    "fcntl",
    "fstat",
    "futex",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getpid",
    "getrandom",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "getuid",
    "ioctl",
    "kill",
    "listen",
    "lseek",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "pidfd_open",
    "pidfd_send_signal",
    "pipe2",
    "poll",
    "pread64",
    "prlimit64",
    "read",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "setsockopt",
    "shutdown",
    "sigaltstack",
    "socket",
    "socketpair",
    "sysinfo",
    "tgkill",
    "timerfd_create",
    "timerfd_settime",
    "uname",
    "wait4",
    "waitid",
    "write",
    "writev",
];

/// Calls that also belong to the list until the thread first waits: the process sets itself up.
const BEFORE_WORKERS: &[&str] =
    &["arch_prctl", "close_range", "execve", "getcwd", "gettid", "prctl", "set_tid_address"];
/// And from the request to stop on.
const IN_SHUTDOWN: &[&str] = &["exit_group"];

/// Calls with a path: only for files that the kernel itself answers, and those in memory.
const WITH_PATH: &[&str] = &[
    "faccessat2",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlinkat",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "readlink",
    "stat",
    "statx",
    "unlink",
    "chmod",
    "rename",
];
const PATHS: &[&str] =
    &["\"/proc/", "\"/proc\"", "\"/sys/fs/cgroup", "\"/sys/devices/system/cpu", "\"/dev/null\""];

/// What of a part of a trace is not listed, each call once with its arguments. `more` are calls and `paths` are
/// paths that only this part may have.
fn unlisted(trace: &str, more: &[&str], paths: &[&str]) -> BTreeMap<String, String> {
    let is_listed = |name: &str, line: &str| {
        let has_path = PATHS.iter().chain(paths).any(|path| line.contains(path));
        ALWAYS.contains(&name) || more.contains(&name) || WITH_PATH.contains(&name) && has_path
            // Of a descriptor that is open.
            || WITH_PATH.contains(&name) && line.contains("AT_EMPTY_PATH")
            // It never waits.
            || name == "flock" && (line.contains("LOCK_NB") || line.contains("LOCK_UN"))
    };
    let calls = trace.lines().filter_map(|line| Some((line.split_once('(')?.0, line)));
    let is_call = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let calls = calls.filter(|(name, line)| is_call(name) && !is_listed(name, line));
    calls.map(|(name, line)| (name.to_owned(), line.to_owned())).collect()
}

/// The parts of a trace: until the thread first waits, which is before the first worker; while workers run; and from
/// the request to stop on.
fn parts(trace: &str) -> [&str; 3] {
    let (before, rest) = trace.split_at(trace.find("\nepoll_wait(").expect("a wait"));
    let (running, shutdown) = rest.split_at(rest.find("\n--- SIGTERM ").expect("the request to stop"));
    [before, running, shutdown]
}

#[test]
fn the_supervisors_thread_makes_no_call_that_a_file_system_answers_from_its_start_to_its_end() {
    let port = support::web::free_port();
    let bed = Bed::new();
    let root = bed.root().display();
    let ecosystem = |version: u32| {
        format!(
            "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\ninstances = 2\nuser = \"nobody\"\npid_file = \"run/app.pid\"\n\
             out_file = \"logs/out.log\"\nlisten = [\"unix://{root}/app.sock\"]\nenv_file = \"env\"\nenv = {{ VERSION = \"{version}\" }}\n\
             max_memory_restart = \"500M\"\n\
             [apps.health]\nexec = [\"true\"]\ninterval = \"500ms\"\n\
             [[apps]]\nname = \"web\"\nscript = \"./web.js\"\nexec_mode = \"cluster\"\ninstances = 2\nenv = {{ PORT = \"{port}\" }}\n\
             [apps.readiness]\nhttp = \"/\"\ninterval = \"500ms\"\n\
             [[apps]]\nname = \"later\"\nscript = \"./steady.sh\"\nautostart = false\nlisten = [\"unix://{root}/later.sock\"]\n\
             cron_restart = \"0 3 * * *\"\n"
        )
    };
    bed.file("ecosystem.toml", ecosystem(1));
    bed.script("steady.sh", workers::STEADY);
    bed.file("env", "A=1\n");
    bed.file(
        "web.js",
        "require('http').createServer((_, response) => response.end('served')).listen(process.env.PORT);\n",
    );
    let sh = "mkdir run logs; chmod 777 . run logs";
    assert!(support::tool("sh", &["-c", sh], bed.root()).status.success());
    let command = |args: &[&str]| bed.isolated(args).start().expect_code(0);
    let trace = bed.path("trace").to_str().unwrap().to_owned();
    // Without `-f`: the first thread alone.
    let strace = ["strace", "-D", "-qq", "-o", &trace];
    let mut run = bed.isolated(&["ecosystem.toml"]).through(&strace).start();
    run.wait_for_err_lines("is online", 4);
    run.wait_for_err_lines("web (3) is ready", 1);
    for args in [
        &["restart", "app"][..],
        &["restart", "app", "--update-env"],
        &["reload", "web"],
        &["scale", "app", "3"],
        &["start", "later"],
        &["restart", "later", "--cron-restart", "0 4 * * *"],
        &["describe", "app"],
        &["jlist"],
        &["list"],
        &["env", "0"],
        &["tree"],
        &["logs", "app", "--nostream"],
        &["stop", "later"],
        &["delete", "later"],
        &["start", "./steady.sh", "--name", "added", "--cron-restart", "0 5 * * *"],
        &["delete", "added"],
    ] {
        command(args);
    }
    bed.file("ecosystem.toml", ecosystem(2));
    command(&["apply", "--dry-run"]);
    command(&["apply"]);
    bed.file("ecosystem.toml", ecosystem(3));
    let applied = run.err().lines_with("is online").len();
    run.signal(support::SIGHUP);
    run.wait_for_err_lines("is online", applied + 3);
    run.expect_stop();
    let ends = || bed.read("trace").contains("exit_group(");
    support::wait_until("the end of the trace", ends);
    let trace = bed.read("trace");
    // The thread looks whether this is the directory that the shell calls `$PWD`.
    let own_directory = format!("\"{root}\"");
    let [before, running, shutdown] = parts(&trace);
    for (part, trace, more, paths) in [
        ("until it first waits", before, BEFORE_WORKERS, &[own_directory.as_str()][..]),
        ("while workers run", running, &[], &[]),
        ("in the shutdown", shutdown, IN_SHUTDOWN, &[]),
    ] {
        let seen: BTreeSet<&str> = trace.lines().filter_map(|line| Some(line.split_once('(')?.0)).collect();
        let unlisted: Vec<String> = unlisted(trace, more, paths).into_values().collect();
        assert!(unlisted.is_empty(), "{part}: {}\nof {seen:?}", unlisted.join("\n"));
        assert!(!seen.is_empty(), "{part}");
    }
}
