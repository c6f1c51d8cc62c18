//! The system calls of the supervisor's thread: it makes those that ARCHITECTURE.md lists and no others.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    hostile::Tracer,
    support::{self, Bed, workers},
};

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
];
const PATHS: &[&str] =
    &["\"/proc/", "\"/proc\"", "\"/sys/fs/cgroup", "\"/sys/devices/system/cpu", "\"/dev/null\""];

/// What of this trace is not listed, each call once with its arguments.
fn unlisted(trace: &str) -> BTreeMap<String, String> {
    let is_listed = |name: &str, line: &str| {
        ALWAYS.contains(&name) || WITH_PATH.contains(&name) && PATHS.iter().any(|path| line.contains(path))
            // Of a descriptor that is open.
            || WITH_PATH.contains(&name) && line.contains("AT_EMPTY_PATH")
    };
    let calls = trace.lines().filter_map(|line| Some((line.split_once('(')?.0, line)));
    let is_call = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let calls = calls.filter(|(name, line)| is_call(name) && !is_listed(name, line));
    calls.map(|(name, line)| (name.to_owned(), line.to_owned())).collect()
}

#[test]
fn the_supervisors_thread_makes_no_call_that_a_file_system_answers() {
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
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_err_lines("is online", 4);
    let trace = bed.path("trace");
    let tracer = Tracer::with(run.pid(), &["-o", trace.to_str().unwrap()]);
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
    command(&["stop", "all"]);
    drop(tracer);
    run.expect_stop();
    let trace = std::fs::read_to_string(&trace).unwrap();
    let seen: BTreeSet<&str> = trace.lines().filter_map(|line| Some(line.split_once('(')?.0)).collect();
    let unlisted: Vec<String> = unlisted(&trace).into_values().collect();
    assert!(unlisted.is_empty(), "{}\nof {seen:?}", unlisted.join("\n"));
    assert!(seen.contains("epoll_wait") || seen.contains("epoll_pwait"), "{seen:?}");
}
