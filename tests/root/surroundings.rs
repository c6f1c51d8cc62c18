//! Unusual environments: closed descriptors, no `/proc`, a read-only disk.

use crate::support::{self, Bed, wait_until, workers};

#[test]
fn no_descriptor_of_procruns_caller_leaks() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./app.py\"\nipc = false\n");
    bed.script("app.py", workers::DESCRIPTORS);
    let mut run = bed.launch(&["ecosystem.toml"]).after("exec 7</etc/passwd 9>leaked").start();
    run.wait_for_line("done");
    run.expect_stop();
    assert_eq!(run.out().lines_with(" fd ").len(), 3, "0, 1 and 2 only{}", run.story());
}

#[test]
fn closed_standard_descriptors_do_no_harm() {
    for closed in ["<&- >&- 2>&-", "<&-", ">&-", "2>&-"] {
        let bed = Bed::once(
            "",
            "ls -l /proc/self/fd > fds 2>&1\necho out || exit 1\necho err >&2 || exit 1\nexit 5",
        );
        let line = format!("exec \"$@\" {closed}");
        let mut run = bed.launch(&["ecosystem.toml"]).through(&["sh", "-c", &line, "sh"]).start();
        run.expect_code(5);
        let fds = bed.read("fds");
        assert!(fds.contains("0 -> pipe:"), "{closed}: {fds}");
        assert!(fds.contains("2 -> ") && fds.contains("1 -> "), "{closed}: {fds}");
        if !closed.contains('>') {
            run.wait_for_line("0|main | out");
        }
    }
}

#[test]
fn without_proc_it_runs_reaps_and_stops() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n");
    bed.script("steady.sh", workers::STEADY.replace("echo \"$1 up", "(sh -c 'exit 9' &)\necho \"$1 up"));
    let mut run = bed.launch(&["ecosystem.toml"]).pid1().after("mount -t tmpfs none /proc").start();
    run.wait_for_line("app up");
    wait_until("the orphan to be gone", || run.children().len() == 1);
    run.expect_stop();
    run.wait_for_line("app bye TERM");
}

#[test]
fn an_unprivileged_user_on_a_read_only_disk_runs_a_js_config() {
    let bed = Bed::new();
    bed.script("steady.sh", workers::STEADY);
    bed.file(
        "ecosystem.config.js",
        "module.exports = { apps: [{ name: 'app', script: './steady.sh', args: 'app' }] };\n",
    );
    let binary = bed.copy(support::binary(), "procrun");
    let launch = bed.launch(&["ecosystem.config.js"]).binary(binary).system_path();
    // Every mount that is a disk becomes read-only, in this mount namespace only.
    let launch = launch.own_mounts().after(
        "mount -o remount,bind,ro / && mount --bind . . && mount -o remount,bind,ro . && cd \"$PWD\"\n\
         if touch here 2> /dev/null; then echo 'the disk can be written' >&2; exit 99; fi\nunset HOME",
    );
    let mut run = launch.through(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]).start();
    run.wait_for_line("app up");
    run.expect_stop();
}

#[test]
fn an_empty_environment_is_enough() {
    let bed = Bed::once("", "echo hello");
    let mut run = bed.launch(&["ecosystem.toml"]).through(&["env", "-i"]).start();
    run.expect_code(0);
    run.wait_for_line("hello");
}

#[test]
fn too_few_descriptors_are_an_error_with_its_cause() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ninstances = 60\nmax_restarts = 2\nrestart_delay = 5\n",
    );
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.launch(&["ecosystem.toml"]).pid1().after("ulimit -n 64").start();
    run.wait_for_line("app up");
    assert!(run.wait_for_err("could not start").contains("open files"), "{}", run.story());
    // Those that run go on, and the stop reaches them all.
    run.expect_stop();
    let count = |what: &str| run.out().lines_with(what).len();
    assert_eq!(count("app up"), count("app bye TERM"), "{}", run.story());
}

#[test]
fn idle_is_idle() {
    let bed = Bed::with(
        "[[apps]]\nname = \"closer\"\nscript = \"./closer.sh\"\n[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n",
    );
    // One that closes its output: its pipes are at their end for ever.
    bed.script("closer.sh", "#!/bin/sh\nexec >&- 2>&-\nexec sleep 1000\n");
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_line("app up");
    let switches = |pid: i32| -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let status = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("status")).unwrap();
        let count = |status: String| -> u64 {
            let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
            lines.map(|line| line.split_whitespace().next_back().unwrap().parse::<u64>().unwrap()).sum()
        };
        tasks.map(|task| count(status(task.unwrap()))).sum()
    };
    // Two seconds within which it is scheduled not more than a few times; it may take a moment to settle.
    let mut begun = support::now();
    let mut before = switches(run.pid());
    wait_until("two idle seconds", || {
        let after = switches(run.pid());
        if after > before + 5 {
            begun = support::now();
            before = after;
        }
        begun.elapsed() > std::time::Duration::from_secs(2)
    });
    run.expect_stop();
}
