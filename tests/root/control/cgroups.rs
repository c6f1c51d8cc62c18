//! A cgroup for each run: what a process cannot leave by itself.

use std::{
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{
    Bed, Procrun, SIGKILL, last_pid, procfs, send,
    strace::{Tracer, injected_in_all},
    wait_until,
};

/// A daemon without a mark, a session, an output or a living parent of the run. It says its process id first.
const DAEMON: &str = "prlimit --locks=unlimited: env -i setsid -f \
    /bin/sh -c 'echo daemon $$; exec /bin/sleep 7101 <&- >&- 2>&-'\n";

/// A procrun in a mount namespace in which the cgroup v2 hierarchy can be written, after these commands.
fn start(bed: &Bed, commands: &str) -> Procrun {
    start_through(bed, commands, &[])
}

/// The same, started by this program.
fn start_through(bed: &Bed, commands: &str, program: &[&str]) -> Procrun {
    let mount = "mkdir -p hierarchy; mount -t cgroup2 cgroup2 hierarchy";
    let commands = format!("{mount}\n{commands}");
    let run = bed.isolated(&["ecosystem.toml", "--log-level", "debug"]).own_mounts();
    let run = run.after(&commands).through(program).start();
    run.wait_for_err("is online, pid");
    run
}

fn bed(keys: &str, script: &str) -> Bed {
    let bed = Bed::with(&format!("cgroup = true\n[[apps]]\nname = \"app\"\nscript = \"./app.sh\"\n{keys}"));
    bed.script("app.sh", format!("#!/bin/sh\n{script}"));
    bed
}

/// The processes of the app, and those of no app.
fn trees(bed: &Bed) -> (Vec<Value>, Vec<i32>) {
    let trees = bed.command(&["tree", "--json"]).json();
    let unowned = trees["unowned"].as_array().unwrap();
    (trees["instances"][0]["processes"].as_array().unwrap().clone(), unowned.iter().map(pid).collect())
}

fn pid(of: &Value) -> i32 {
    i32::try_from(of["pid"].as_i64().unwrap()).unwrap()
}

/// Why this process belongs to the app.
fn belongs_by(processes: &[Value], wanted: i32) -> Option<&str> {
    processes.iter().find(|it| pid(it) == wanted)?["belongs_by"].as_str()
}

fn describe(bed: &Bed, app: &str) -> Value {
    bed.command(&["describe", app, "--json"]).json()[0].take()
}

fn main_process(bed: &Bed, app: &str) -> i32 {
    bed.command(&["pid", app]).ok().trim().parse().unwrap()
}

/// The cgroup of the app as its description has it.
#[track_caller]
fn cgroup(bed: &Bed) -> PathBuf {
    let described = describe(bed, "app");
    described["cgroup"].as_str().unwrap_or_else(|| panic!("no cgroup in {described}")).into()
}

/// A directory of procrun's mount namespace, also when procrun has ended.
struct Directory(File);

impl Directory {
    /// That which holds the directory of `run` in which its cgroups are.
    fn around_cgroups_of(bed: &Bed, run: &Procrun) -> (Self, String) {
        let cgroup = cgroup(bed);
        let own = cgroup.parent().unwrap();
        let around = own.parent().unwrap().strip_prefix("/").unwrap();
        let path = Path::new("/proc").join(run.pid().to_string()).join("root").join(around);
        let name = own.file_name().unwrap().to_str().unwrap().to_owned();
        (Self(File::open(path).unwrap()), name)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }
}

/// Waits until a daemon executes its program, and its parent has ended and is reaped.
#[track_caller]
fn wait_for_adoption(run: &Procrun, daemon: i32) {
    wait_until("the program of the daemon", || {
        let name = fs::read_to_string(format!("/proc/{daemon}/comm")).unwrap_or_default();
        let parent = procfs::process(daemon).map(|process| process.parent);
        let is_adopted = name.trim() == "sleep" && parent == Some(run.pid());
        let has_zombie = |pid: i32| procfs::children(pid).iter().any(|child| child.state == 'Z');
        is_adopted && !run.children().iter().any(|child| has_zombie(child.pid))
    });
}

fn is_alive(pid: i32) -> bool {
    procfs::alive(pid)
}

#[test]
fn a_daemon_that_gives_up_everything_is_counted_and_ended() {
    let bed = bed("", &format!("{DAEMON}exec sleep 1000\n"));
    let mut run = start(&bed, ":");
    let mut directory = None;
    for round in 1..=3 {
        let daemon = last_pid(&run.wait_for_lines("daemon", round)[round - 1]);
        wait_for_adoption(&run, daemon);
        // No scan has seen it below the main process.
        let (tree, unowned) = trees(&bed);
        assert_eq!((tree.len(), unowned), (2, Vec::new()), "{tree:?}");
        assert_eq!(belongs_by(&tree, daemon), Some("cgroup"), "{tree:?}");
        assert_eq!(bed.command(&["describe", "app", "--json"]).json()[0]["processes"], 2);
        directory.get_or_insert_with(|| Directory::around_cgroups_of(&bed, &run));
        assert!(bed.command(&["describe", "app"]).ok().contains(&*cgroup(&bed).to_string_lossy()));
        bed.command(&[if round < 3 { "restart" } else { "stop" }, "app"]).ok();
        assert!(!is_alive(daemon), "{}", run.story());
    }
    let (around, own) = directory.unwrap();
    assert!(around.has(&own));
    run.expect_stop();
    assert!(!around.has(&own), "{:?}", fs::read_dir(around.path().join(&own)).map(Iterator::count));
}

#[test]
fn without_a_cgroup_such_a_daemon_belongs_to_no_app() {
    let bed = bed("", &format!("{DAEMON}exec sleep 1000\n"));
    bed.file("ecosystem.toml", bed.read("ecosystem.toml").replace("cgroup = true", "cgroup = false"));
    let mut run = start(&bed, ":");
    let daemon = last_pid(&run.wait_for_line("daemon"));
    wait_for_adoption(&run, daemon);
    assert_eq!(trees(&bed).1, [daemon]);
    run.wait_for_err("runs get no cgroups: `cgroup` is false");
    run.expect_stop();
}

#[test]
fn sigkill_ends_processes_that_fork_and_ignore_signals() {
    // Each process of the daemon lives for a moment and has no mark.
    let forks = "prlimit --locks=unlimited: env -i setsid -f /bin/sh -c '\
        trap \"\" TERM HUP INT; echo daemon $$; exec <&- >&- 2>&-\n\
        f() { [ $1 -gt 5000 ] || { /bin/sleep 0.01; f $(($1 + 1)) & }; }; f 1 & f 1 & exec /bin/sleep 1000'\n";
    let bed = bed("kill_timeout = 300\n", &format!("{forks}exec sleep 1000\n"));
    let mut run = start(&bed, ":");
    run.wait_for_line("daemon");
    let cgroup = cgroup(&bed);
    let (around, own) = Directory::around_cgroups_of(&bed, &run);
    let procs = around.path().join(&own).join(cgroup.file_name().unwrap()).join("cgroup.procs");
    wait_until("its processes", || fs::read_to_string(&procs).unwrap().lines().count() > 3);
    bed.command(&["stop", "app"]).ok();
    // A cgroup that was killed is removed.
    assert_eq!(fs::read_to_string(&procs).unwrap_or_default(), "", "{}", run.story());
    run.expect_stop();
    assert!(!around.has(&own));
}

#[test]
fn without_treekill_a_daemon_keeps_its_cgroup_until_it_ends() {
    let bed = bed("treekill = false\n", &format!("{DAEMON}exec sleep 1000\n"));
    let mut run = start(&bed, ":");
    let (around, own) = Directory::around_cgroups_of(&bed, &run);
    let first = last_pid(&run.wait_for_line("daemon"));
    let first_cgroup = cgroup(&bed);
    bed.command(&["restart", "app"]).ok();
    let second = last_pid(&run.wait_for_lines("daemon", 2)[1]);
    assert!(is_alive(first), "{}", run.story());
    assert_ne!(cgroup(&bed), first_cgroup, "it still has a process");
    wait_until("the end of its parent", || trees(&bed).1.contains(&second));
    let (tree, unowned) = trees(&bed);
    assert!(tree.len() == 1 && unowned.contains(&first), "{tree:?} {unowned:?}");
    // When it has ended, a later run has its cgroup. Another one was prepared for the next run.
    send(first, SIGKILL);
    wait_until("its end", || !is_alive(first));
    wait_until("a run in its cgroup", || {
        bed.command(&["restart", "app"]).ok();
        cgroup(&bed) == first_cgroup
    });
    // Nothing outlives procrun, and no directory does.
    run.expect_stop();
    wait_until("the end of all", || !is_alive(second));
    assert!(!around.has(&own), "{}", run.story());
}

/// An app that prints what it sees of its cgroups.
const VIEW: &str = "sed 's/^/see /' /proc/self/cgroup; echo seen; exec sleep 1000\n";

fn seen(run: &Procrun) -> String {
    run.wait_for_line("seen");
    let lines = run.out().lines_with("see ");
    lines.iter().map(|line| line.split_once("see ").unwrap().1.to_owned() + "\n").collect()
}

#[test]
fn in_a_namespace_a_worker_sees_what_procrun_sees() {
    // The second worker is an unprivileged user's. Neither can leave its cgroup.
    for keys in ["", "user = \"nobody\"\n"] {
        let bed = bed(keys, VIEW);
        let run = bed.isolated(&["ecosystem.toml"]).own_mounts();
        let run = run.through(&["unshare", "--cgroup", "--"]);
        let commands = "mkdir hierarchy; mount -t cgroup2 cgroup2 hierarchy; cat /proc/self/cgroup > before";
        let mut run = run.after(commands).start();
        let seen = seen(&run);
        let before = bed.read("before");
        assert!(before.lines().all(|line| line.ends_with(":/")), "{before}");
        assert_eq!(seen, before, "{}", run.story());
        let cgroup = cgroup(&bed);
        let worker = run.worker();
        // From outside of the namespaces.
        let actual = fs::read_to_string(format!("/proc/{worker}/cgroup")).unwrap();
        let own = cgroup.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let unified = actual.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        assert!(unified.contains(own), "{unified} {own}");
        run.expect_stop();
    }
}

#[test]
fn without_a_namespace_a_worker_keeps_its_place_in_version_1() {
    for keys in ["", "user = \"nobody\"\n"] {
        let bed = bed(keys, VIEW);
        let before = fs::read_to_string("/proc/self/cgroup").unwrap();
        let unified = |text: &str| text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned);
        let mut run = start(&bed, ":");
        let seen = seen(&run);
        let cgroup = cgroup(&bed);
        let (own, seen_own) = (unified(&before).unwrap(), unified(&seen).unwrap());
        if seen_own != own {
            // procrun is not at the root of all hierarchies: the worker sees its path.
            assert!(cgroup.ends_with(seen_own.trim_start_matches('/')), "{cgroup:?} {seen}");
        }
        let rest = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with("0::")).map(str::to_owned).collect()
        };
        assert_eq!(rest(&seen), rest(&before));
        run.expect_stop();
    }
}

#[test]
fn a_read_only_hierarchy_leaves_everything_as_it_is() {
    let bed = bed("", "env -i setsid -f sleep 7102\necho ready; exec sleep 1000\n");
    let read_only = "while read -r _ at kind _; do [ \"$kind\" != cgroup2 ] || mount -o remount,bind,ro \"$at\"; \
        done < /proc/self/mounts";
    for wish in ["true", "\"auto\""] {
        let text = format!("cgroup = {wish}");
        bed.file("ecosystem.toml", bed.read("ecosystem.toml").replace("cgroup = true", &text));
        let mut run = start(&bed, read_only);
        let line = run.wait_for_err("is mounted read-only");
        assert_eq!(line.contains("warn"), wish == "true", "{line}");
        run.wait_for_line("ready");
        wait_until("the daemon", || trees(&bed).0.len() == 2);
        let (tree, _) = trees(&bed);
        let daemon = tree.iter().map(pid).max().unwrap();
        assert_eq!(bed.command(&["describe", "app", "--json"]).json()[0]["cgroup"], Value::Null);
        bed.command(&["stop", "app"]).ok();
        assert!(!tree.iter().any(|it| is_alive(pid(it))), "{daemon}{}", run.story());
        run.expect_stop();
    }
}

#[test]
fn what_a_killed_procrun_leaves_is_removed_by_the_next_one() {
    let bed = bed("", "exec sleep 1000\n");
    let mut first = start(&bed, ":");
    let (around, own) = Directory::around_cgroups_of(&bed, &first);
    let mut beside = {
        let bed = self::bed("", "exec sleep 1000\n");
        let run = start(&bed, ":");
        let (_, name) = Directory::around_cgroups_of(&bed, &run);
        (run, name, bed)
    };
    let worker = first.worker();
    first.signal(SIGKILL);
    first.wait_end();
    wait_until("the end of its worker", || !is_alive(worker));
    assert!(around.has(&own));
    let mut second = start(&bed, ":");
    wait_until("the removal of its directory", || !around.has(&own));
    assert!(around.has(&beside.1), "the directory of another procrun that lives");
    second.expect_stop();
    beside.0.expect_stop();
}

#[test]
fn a_frozen_cgroup_is_not_used_again() {
    let bed = bed("kill_timeout = 300\n", "echo up; exec sleep 1000\n");
    let mut run = start(&bed, ":");
    run.wait_for_line("up");
    let (around, own) = Directory::around_cgroups_of(&bed, &run);
    let frozen = around.path().join(&own).join(cgroup(&bed).file_name().unwrap());
    fs::write(frozen.join("cgroup.freeze"), "1").unwrap();
    wait_until("the freeze", || {
        fs::read_to_string(frozen.join("cgroup.events")).unwrap().contains("frozen 1")
    });
    // Of two cgroups that take turns, one is frozen.
    for starts in 2..=4 {
        bed.command(&["restart", "app"]).ok();
        run.wait_for_lines("up", starts);
    }
    assert!(!frozen.exists(), "{}", run.story());
    assert_eq!(run.err().lines_with("is online, pid").len(), 4, "{}", run.story());
    run.expect_stop();
    assert!(!around.has(&own));
}

#[test]
fn a_cgroup_of_a_removed_directory_names_no_other_run() {
    let other = "[[apps]]\nname = \"other\"\nscript = \"./app.sh\"\n";
    let bed = bed(other, "echo up; exec sleep 1000\n");
    let mut run = start(&bed, ":");
    run.wait_for_lines("up", 2);
    let (around, own) = Directory::around_cgroups_of(&bed, &run);
    let number = cgroup(&bed).file_name().unwrap().to_owned();
    // An operator moves the processes away and removes the cgroups.
    for child in run.children() {
        fs::write(around.path().join("cgroup.procs"), child.pid.to_string()).unwrap();
    }
    let directory = around.path().join(&own);
    wait_until("the removal", || {
        // One is prepared for the next run.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        fs::remove_dir(&directory).is_ok()
    });
    // The next run has no cgroup. Those after it have cgroups in a new directory.
    let mut cgroup = PathBuf::new();
    for _ in 0..4 {
        bed.command(&["restart", "other"]).ok();
        cgroup = describe(&bed, "other")["cgroup"].as_str().unwrap_or_default().into();
        if cgroup.file_name() == Some(&number) {
            break;
        }
    }
    assert_eq!(cgroup.file_name(), Some(&*number), "{}", run.story());
    let new = cgroup.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert_ne!(new, own);
    let before = main_process(&bed, "other");
    bed.command(&["stop", "app"]).ok();
    bed.command(&["start", "app"]).ok();
    assert_eq!(main_process(&bed, "other"), before, "{}", run.story());
    assert!(is_alive(before));
    run.expect_stop();
    assert!(!around.has(new) && !around.has(&own));
}

/// A daemon in another session. The marks of the run remain.
const MARKED_DAEMON: &str = "setsid -f sh -c 'echo daemon $$; exec sleep 7103'\nexec sleep 1000\n";

/// The app has no cgroup, and its daemon belongs to it all the same and ends with it.
#[track_caller]
fn expect_no_cgroup(bed: &Bed, run: &Procrun, daemon: i32) {
    assert_eq!(describe(bed, "app")["cgroup"], Value::Null, "{}", run.story());
    wait_for_adoption(run, daemon);
    let (tree, _) = trees(bed);
    assert!(belongs_by(&tree, daemon).is_some_and(|by| by != "cgroup"), "{tree:?}");
    bed.command(&["stop", "app"]).ok();
    assert!(!is_alive(daemon), "{}", run.story());
}

#[test]
fn a_run_that_could_not_begin_in_its_cgroup_has_none() {
    let bed = bed("", MARKED_DAEMON);
    let inject = injected_in_all("inject=clone3:error=ENOSYS");
    let mut run = start_through(&bed, ":", &inject);
    for starts in 1..=3 {
        let daemon = last_pid(&run.wait_for_lines("daemon", starts)[starts - 1]);
        expect_no_cgroup(&bed, &run, daemon);
        bed.command(&["start", "app"]).ok();
    }
    // Nothing is left of what was made for them. One is prepared for the next run.
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", run.pid())).unwrap();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let hierarchy = bed.path("hierarchy");
    let hierarchy = format!("/proc/{}/root{}", run.pid(), hierarchy.display());
    let name = format!("procrun-{}-", run.pid());
    let entries = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let own = entries(&Path::new(&hierarchy).join(group));
    let own = own.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name));
    let left: Vec<PathBuf> = entries(&own.expect("its directory")).filter(|path| path.is_dir()).collect();
    assert!(left.len() <= 1, "{left:?}{}", run.story());
    run.expect_stop();
}

#[test]
fn a_cgroup_that_a_worker_has_changed_is_not_used_again() {
    let bed = bed("", "echo up; exec sleep 1000\n");
    let mut run = start(&bed, ":");
    run.wait_for_line("up");
    let (around, own) = Directory::around_cgroups_of(&bed, &run);
    let changed = around.path().join(&own).join(cgroup(&bed).file_name().unwrap());
    // A worker that manages cgroups may have made this one the root of a threaded subtree.
    fs::create_dir(changed.join("threads")).unwrap();
    fs::write(changed.join("threads/cgroup.type"), "threaded").unwrap();
    assert_eq!(fs::read_to_string(changed.join("cgroup.type")).unwrap(), "domain threaded\n");
    for starts in 2..=4 {
        bed.command(&["restart", "app"]).ok();
        run.wait_for_lines("up", starts);
        assert_ne!(cgroup(&bed).file_name(), changed.file_name(), "{}", run.story());
    }
    assert!(!changed.exists(), "{}", run.story());
    run.expect_stop();
    assert!(!around.has(&own));
}

#[test]
fn a_run_for_whose_cgroup_there_is_no_descriptor_has_none() {
    let bed = bed("", "echo up; exec sleep 1000\n");
    let mut run = start(&bed, ":");
    // The third run would have the cgroup of the first one.
    let path = cgroup(&bed).display().to_string();
    bed.command(&["restart", "app"]).ok();
    {
        let inject = ["-e", "inject=open,openat:error=EMFILE", "-P", &path];
        let _tracer = Tracer::of_all(run.pid(), &inject);
        bed.command(&["restart", "app"]).ok();
        run.wait_for_lines("up", 3);
        assert_eq!(describe(&bed, "app")["cgroup"], Value::Null, "{}", run.story());
    }
    bed.command(&["restart", "app"]).ok();
    run.wait_for_lines("up", 4);
    cgroup(&bed);
    run.expect_stop();
}

#[test]
fn a_daemon_is_killed_although_there_is_no_descriptor_for_the_events_of_its_cgroup() {
    let daemon = DAEMON.replace("echo daemon", "trap \"\" TERM; echo daemon");
    let bed = bed("kill_timeout = 300\n", &format!("{daemon}exec sleep 1000\n"));
    let mut run = start(&bed, ":");
    let daemon = last_pid(&run.wait_for_line("daemon"));
    wait_for_adoption(&run, daemon);
    let events = cgroup(&bed).join("cgroup.events").display().to_string();
    {
        let inject = ["-e", "inject=open,openat:error=EMFILE", "-P", &events];
        let _tracer = Tracer::of_all(run.pid(), &inject);
        bed.command(&["stop", "app"]).ok();
        assert!(!is_alive(daemon), "{}", run.story());
        bed.command(&["start", "app"]).ok();
        // Whether the cgroup is empty is not known.
        bed.command(&["restart", "app"]).ok();
        assert_eq!(describe(&bed, "app")["cgroup"], Value::Null, "{}", run.story());
    }
    bed.command(&["restart", "app"]).ok();
    cgroup(&bed);
    run.expect_stop();
}
