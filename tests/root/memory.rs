//! Real leaks: of a worker beyond its limit, and of one that fills its container. As root, with Node, and
//! with a memory cgroup of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::support::{
    self, Bed, Launch, Procrun, SIGHUP, SIGTERM, procfs, wait_until, wait_until_within, web,
};

/// Leaks, and serves meanwhile if it has a PORT. `LEAK` is MB every 50 ms.
const LEAK: &str = r"
const kept = [];
const chunk = Number(process.env.LEAK || 2.5) * 1024 * 1024;
const leak = () => setInterval(() => kept.push(Buffer.alloc(chunk, 1)), 50);
if (process.env.PORT) {
  require('http').createServer((request, response) => response.end('ok')).listen(process.env.PORT, () => {
    console.log(`listens ${process.pid}`);
    if (process.env.NODE_APP_INSTANCE === '0') leak();
  });
} else {
  leak();
}
console.log(`up ${process.pid}`);
";

const LONG: Duration = Duration::from_secs(120);

fn bed(ecosystem: &str) -> Bed {
    let bed = Bed::with(ecosystem);
    bed.file("leak.js", LEAK);
    bed.file("small.js", "console.log(`small ${process.pid}`); setInterval(() => {}, 1000);");
    bed
}

fn launch<'a>(bed: &'a Bed, args: &[&str]) -> Launch<'a> {
    bed.launch(args).env("PROCRUN_HOME", bed.root().to_str().unwrap())
}

fn start(bed: &Bed) -> Procrun {
    launch(bed, &["ecosystem.toml"]).start()
}

/// The answer of `procrun describe WHO --json`.
fn describe(bed: &Bed, who: &str) -> serde_json::Value {
    launch(bed, &["describe", who, "--json"]).start().output().json()
}

/// The number that stands before ` MB` behind `word`.
#[track_caller]
fn megabytes(line: &str, word: &str) -> u64 {
    let behind = line.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {line:?}")).1.trim_start();
    let number = behind.split_once(" MB").unwrap_or_else(|| panic!("no MB in {behind:?}")).0;
    number.parse().unwrap_or_else(|error| panic!("{number:?} in {line:?}: {error}"))
}

#[test]
fn a_leaking_worker_is_restarted_before_it_is_far_beyond_its_limit() {
    let bed = bed("[[apps]]\nname = \"leak\"\nscript = \"leak.js\"\nmax_memory_restart = \"120M\"\n\
         [[apps]]\nname = \"small\"\nscript = \"small.js\"\nmax_memory_restart = \"120M\"\n");
    let mut run = start(&bed);
    let small = run.wait_for_line("small ");
    let line = run.wait_for_err("max_memory_restart");
    assert!(
        line.contains("leak (0)") && line.contains("above max_memory_restart (120 MB): restarting it"),
        "{line}"
    );
    let seen = megabytes(&line, "uses");
    // 50 MB/s, less on a busy machine: a look a second would see 170 MB.
    assert!((120..170).contains(&seen), "{line}");
    run.wait_for_lines("up ", 2);
    let ended = run.wait_for_err("leak (0) exited");
    assert!(ended.contains("(memory limit: ") && ended.contains(" used, limit 120 MB)"), "{ended}");
    let detail = &describe(&bed, "leak")[0];
    let ending = &detail["exits"][0];
    assert_eq!(ending["reason"], "memory", "{detail}");
    assert!(ending["text"].as_str().unwrap().contains("120 MB"), "{detail}");
    assert_eq!((&detail["unstable_restarts"], &detail["max_memory_restart"]), (&0.into(), &"120M".into()));
    assert_eq!(run.out().lines_with("small "), [small], "who is below its limit is left alone");
    run.expect_stop();
}

#[test]
fn a_cluster_loses_no_request_while_a_leaking_worker_is_replaced() {
    let port = web::free_port();
    let bed = bed(&format!(
        "[[apps]]\nname = \"api\"\nscript = \"leak.js\"\ninstances = 2\nmax_memory_restart = \"110M\"\n\
         env = {{ PORT = \"{port}\" }}\n"
    ));
    let mut run = start(&bed);
    run.wait_for_lines("listens", 2);
    let over = AtomicBool::new(false);
    let answers: Vec<usize> = thread::scope(|scope| {
        let client = || {
            let mut answers = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(web::get(port, "/").expect("no request is lost").trim(), "ok");
                answers += 1;
            }
            answers
        };
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(client)).collect();
        let replaced = || run.err().lines_with("api is reloaded: 1 process").len() >= 2;
        wait_until_within("two replacements", LONG, || {
            replaced() || clients.iter().any(thread::ScopedJoinHandle::is_finished)
        });
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("a client without a failure")).collect()
    });
    assert!(answers.iter().all(|count| *count > 0), "{answers:?}");
    let why = run.wait_for_err("max_memory_restart");
    assert!(why.contains("api (0)") && why.contains("replacing it without downtime"), "{why}");
    assert_eq!(run.err().lines_with("api (1) exited"), [""; 0], "the other one was left alone");
    wait_until("its record", || describe(&bed, "0")[0]["exits"][0]["reason"] == "memory");
    run.expect_stop();
}

#[test]
fn a_limit_that_came_with_a_reload_holds() {
    let port = web::free_port();
    let file = |more: &str| {
        format!(
            "[[apps]]\nname = \"api\"\nscript = \"late.js\"\nexec_mode = \"cluster\"\nkill_timeout = 1000\n\
             env = {{ PORT = \"{port}\" }}\n{more}"
        )
    };
    let bed = bed(&file(""));
    // By then a sample has found no worker with a limit.
    bed.file("late.js", "setTimeout(() => require('./leak.js'), 1500)");
    let mut run = start(&bed);
    run.wait_for_lines("listens", 1);
    // It leaks, too, and may: until now there is no limit.
    bed.file("ecosystem.toml", file("max_memory_restart = \"150M\"\nargs = [\"new\"]\n"));
    run.signal(SIGHUP);
    run.wait_for_err("api is reloaded");
    wait_until_within("its limit", LONG, || !run.err().lines_with("max_memory_restart (150 MB)").is_empty());
    run.expect_stop();
}

#[test]
fn what_npm_starts_counts_and_ends_with_it() {
    // npm itself and its shell have their part, so that the limit is wide.
    let bed = bed(
        "[[apps]]\nname = \"web\"\nscript = \"npm\"\nargs = [\"start\"]\nmax_memory_restart = \"300M\"\n",
    );
    bed.file("package.json", r#"{"name":"web","version":"1.0.0","scripts":{"start":"node leak.js"}}"#);
    let mut run = start(&bed);
    let leaking = support::last_pid(&run.wait_for_lines_within("up ", 1, LONG)[0]);
    let npm = run.children()[0].pid;
    assert_ne!(npm, leaking);
    wait_until_within("its limit", LONG, || !run.err().lines_with("web (0) uses").is_empty());
    let line = &run.err().lines_with("web (0) uses")[0];
    assert!(megabytes(line, "uses") >= 300, "{line}");
    run.wait_for_lines_within("up ", 2, LONG);
    assert!(!procfs::alive(leaking), "what leaked is gone before the next one starts{}", run.story());
    assert!(!run.err().lines_with("(memory limit:").is_empty(), "{}", run.story());
    run.expect_stop();
}

#[test]
fn nothing_is_sampled_without_a_limit() {
    let bed = bed("oom_guard = true\n[[apps]]\nname = \"small\"\nscript = \"small.js\"\n");
    let mut run = start(&bed);
    run.wait_for_line("small ");
    let switches = || procfs::status(run.pid(), "voluntary_ctxt_switches").parse::<u64>().unwrap();
    wait_until("procrun to be at rest", || {
        let before = switches();
        thread::park_timeout(Duration::from_millis(1500));
        switches() == before
    });
    run.expect_stop();
}

/// A memory cgroup; what is in it when it is dropped has ended.
struct Group(PathBuf);

impl Group {
    /// A cgroup below the test's own, with a limit in MB.
    fn new(name: &str, limit: u64) -> Self {
        let v1 = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = v1.lines().find_map(|line| line.split_once(":memory:")).map(|(_, group)| group);
        let name = format!("procrun-test-{name}-{}", std::process::id());
        let (dir, file) = if let Some(group) = own {
            (format!("/sys/fs/cgroup/memory{group}/{name}"), "memory.limit_in_bytes")
        } else {
            // Only the topmost group may have both processes and groups.
            fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory").expect("a cgroup that is ours");
            (format!("/sys/fs/cgroup/{name}"), "memory.max")
        };
        fs::create_dir(&dir).expect("root, and a memory cgroup that may be written");
        fs::write(Path::new(&dir).join(file), (limit << 20).to_string()).expect("its limit");
        Self(PathBuf::from(dir))
    }

    /// procrun as its first process.
    fn start(&self, bed: &Bed) -> Procrun {
        let enter = format!("echo $$ > '{}/cgroup.procs'", self.0.display());
        let launch = bed.launch(&["ecosystem.toml"]).env("PROCRUN_HOME", bed.root().to_str().unwrap());
        launch.after(&enter).start()
    }

    /// What the kernel has killed in it.
    fn kills(&self) -> u64 {
        let read = |file| fs::read_to_string(self.0.join(file));
        let text = read("memory.oom_control").or_else(|_| read("memory.events")).unwrap();
        let line =
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")).expect("the kernel counts them");
        line.trim().parse().unwrap()
    }

    /// Page cache in bytes.
    fn cache(&self) -> u64 {
        let text = fs::read_to_string(self.0.join("memory.stat")).unwrap();
        let value = |name| text.lines().find_map(|line: &str| line.strip_prefix(name));
        value("cache ").or_else(|| value("file ")).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        wait_until("the group to be empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn the_largest_worker_ends_before_the_kernel_kills() {
    let group = Group::new("guard", 256);
    // 20 MB/s: the last 5% last for 600 ms, also where procrun gets its turn late.
    let bed = bed(
        "[[apps]]\nname = \"leak\"\nscript = \"leak.js\"\nenv = { LEAK = \"1\" }\n[[apps]]\nname = \"small\"\nscript = \"small.js\"\n",
    );
    let mut run = group.start(&bed);
    let small = run.wait_for_line("small ");
    wait_until_within("two of its ends", LONG, || run.err().lines_with("oom_guard").len() >= 2);
    run.wait_for_lines_within("up ", 3, LONG);
    let line = &run.err().lines_with("oom_guard")[0];
    assert!(line.contains("of 256 MB") && line.contains("leak (0), the largest"), "{line}");
    assert!((243..256).contains(&megabytes(line, "the container uses")), "{line}");
    assert_eq!(group.kills(), 0, "{}", run.story());
    assert_eq!(run.out().lines_with("small "), [small]);
    assert_eq!(describe(&bed, "leak")[0]["exits"][0]["reason"], "memory");
    run.expect_stop();
    drop(run);
}

#[test]
fn memory_of_other_processes_is_not_blamed_on_a_worker() {
    let group = Group::new("other", 256);
    let bed = bed("[[apps]]\nname = \"small\"\nscript = \"small.js\"\n");
    let mut run = group.start(&bed);
    run.wait_for_line("small ");
    // As `docker exec` does: a process of the container that is none of procrun's. It stops where there is no room.
    let begin =
        "exec python3 -c 'import sys\nall = []\nfor line in sys.stdin: all.append(b\"x\" * (1 << 20))'";
    let enter = format!("echo $$ > '{}/cgroup.procs'; {begin}", group.0.display());
    let mut shell = std::process::Command::new("sh");
    let mut other = support::spawn(shell.args(["-c", &enter]).stdin(std::process::Stdio::piped()));
    let mut words = other.stdin.take().expect("it was asked for");
    wait_until_within("the guard", LONG, || {
        // 40 MB/s at most.
        thread::park_timeout(Duration::from_millis(25));
        std::io::Write::write_all(&mut words, b"more\n").expect("it reads");
        !run.err().lines_with("oom_guard").is_empty()
    });
    run.wait_for_err("hint: all apps together use only ");
    drop(words);
    other.wait().expect("it ends");
    assert_eq!(group.kills(), 0, "{}", run.story());
    run.expect_stop();
    drop(run);
}

#[test]
fn page_cache_does_not_count() {
    let group = Group::new("cache", 128);
    let bed =
        Bed::again("", "echo up; dd if=/dev/zero of=big bs=1M count=400 2>&1; echo written; sleep 1000");
    let mut run = group.start(&bed);
    run.wait_for_lines_within("written", 1, LONG);
    assert!(group.cache() > 64 << 20, "it has filled the container: {}", group.cache());
    // It would have been seen within a second.
    let begun = support::now();
    wait_until("a few looks", || begun.elapsed() > Duration::from_secs(3));
    assert_eq!(run.err().lines_with("memory"), [""; 0], "{}", run.story());
    assert_eq!(run.out().lines_with("up").len(), 1, "{}", run.story());
    run.signal(SIGTERM);
    run.wait_end();
    drop(run);
}

#[test]
fn an_end_by_the_kernel_is_named() {
    let group = Group::new("oom", 128);
    let bed = bed("oom_guard = false\n[[apps]]\nname = \"leak\"\nscript = \"leak.js\"\n\
         [[apps]]\nname = \"shell\"\nscript = \"./shell.sh\"\nautostart = false\n");
    bed.script("shell.sh", "#!/bin/sh\nnode leak.js\nexit $?\n");
    let mut run = group.start(&bed);
    wait_until_within("the kernel", LONG, || group.kills() > 0);
    let line = run.wait_for_err("leak (0) exited");
    assert!(
        line.contains("signal SIGKILL, the kernel's out-of-memory killer (memory limit 128 MB)"),
        "{line}"
    );
    let ending = &describe(&bed, "leak")[0]["exits"][0];
    assert_eq!((&ending["reason"], &ending["code"]), (&"oom".into(), &137.into()));
    // And one below a shell, which exits with its code.
    for words in [["stop", "leak"], ["start", "shell"]] {
        launch(&bed, &words).start().output().ok();
    }
    wait_until_within("its end", LONG, || !run.err().lines_with("shell (1) exited").is_empty());
    let line = &run.err().lines_with("shell (1) exited")[0];
    assert!(line.contains("code 137, the kernel's out-of-memory killer has killed"), "{line}");
    // A SIGKILL from another process is none of the kernel's.
    run.wait_for_lines_within("up ", 3, LONG);
    support::send(run.worker(), support::SIGKILL);
    wait_until("its end", || run.err().lines_with("shell (1) exited").len() >= 2);
    let line = &run.err().lines_with("shell (1) exited")[1];
    assert!(line.contains("signal SIGKILL, up"), "{line}");
    run.expect_stop();
    drop(run);
}

#[test]
fn a_share_is_one_of_the_containers_limit() {
    let group = Group::new("share", 400);
    let bed = bed("[[apps]]\nname = \"leak\"\nscript = \"leak.js\"\nmax_memory_restart = \"30%\"\n");
    let mut run = group.start(&bed);
    wait_until_within("its limit", LONG, || !run.err().lines_with("max_memory_restart").is_empty());
    let line = run.wait_for_err("max_memory_restart");
    assert!(line.contains("max_memory_restart (120 MB): restarting it"), "{line}");
    run.expect_stop();
    drop(run);
}

#[test]
fn the_kernel_kills_a_worker_before_procrun() {
    let score = |pid: i32| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    let own = score(i32::try_from(std::process::id()).unwrap());
    // Whether this machine lets a process lower it.
    let may =
        support::tool("sh", &["-c", "echo -500 > /proc/self/oom_score_adj"], Path::new("/")).status.success();
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"exec sleep 1000\"\n\
         [[apps]]\nname = \"chosen\"\nscript = \"exec sleep 1001\"\noom_score_adj = 700\n",
    );
    let run = bed.start(&["ecosystem.toml"]);
    run.wait_for_err_lines("is online", 2);
    assert_eq!(score(run.pid()).trim(), if may { "-500" } else { own.trim() });
    let scores: std::collections::BTreeSet<String> =
        run.children().iter().map(|child| score(child.pid).trim().to_owned()).collect();
    assert_eq!(scores, [own.trim().to_owned(), "700".to_owned()].into());
}
