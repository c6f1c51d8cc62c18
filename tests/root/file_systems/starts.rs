//! Starts, stops and commands that need a file system that does not answer or fails.

use crate::support::{
    self, Bed, SIGTERM, SIGWINCH,
    strace::{Tracer, thread_of},
    workers,
};

use super::{hang, start_with_a_failing_file_system, start_with_a_file_system, with_a_file_system};

#[test]
fn a_signal_for_an_app_that_cannot_be_started_is_reported() {
    let bed = with_a_file_system("script = \"./mnt/app.sh\"\nautostart = false\n");
    let mut run = start_with_a_file_system(&bed);
    hang(&bed);
    let home = bed.path("home").to_string_lossy().into_owned();
    let _client = bed.launch(&["start", "hung"]).env("PROCRUN_HOME", &home).start();
    support::wait_until("the start to be under way", || {
        let mut list = bed.launch(&["jlist"]).env("PROCRUN_HOME", &home).start();
        list.wait_end();
        list.out().lines().concat().contains("launching")
    });
    run.signal(SIGWINCH);
    run.wait_for_err("hung (0) did not get SIGWINCH: it could not be started");
    run.expect_stop();
}

#[test]
fn a_command_is_answered_when_the_pid_file_has_changed() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\npid_file = \"run/app.pid\"\n",
    );
    bed.script("steady.sh", workers::STEADY);
    let home = bed.path("home").to_string_lossy().into_owned();
    let launch = |args: &[&str]| bed.launch(args).env("PROCRUN_HOME", &home).system_path();
    let mut run = launch(&["ecosystem.toml"]).start();
    run.wait_for_line("app up");
    support::wait_until("the pid file", || bed.exists("run/app.pid"));
    let thread = support::wait_for("the thread", || thread_of(run.pid(), "helper"));
    {
        let path = bed.path("run/app.pid").to_str().unwrap().to_owned();
        let delay = "inject=openat,unlink,unlinkat:delay_enter=300000";
        let _tracer = Tracer::of(thread, &["-e", delay, "-P", &path]);
        let is_written = || bed.read("run/app.pid").trim() == run.worker().to_string();
        launch(&["restart", "app"]).start().expect_code(0);
        assert!(is_written(), "after restart{}", run.story());
        launch(&["stop", "app"]).start().expect_code(0);
        assert!(!bed.exists("run/app.pid"), "after stop{}", run.story());
        launch(&["start", "app"]).start().expect_code(0);
        assert!(is_written(), "after start{}", run.story());
    }
    run.expect_stop();
}

#[test]
fn a_file_system_that_does_not_answer_fails_the_starts_that_need_it_and_no_other() {
    for (app, step) in [
        ("script = \"true\"\ncwd = \"mnt\"\n", "opening its cwd"),
        ("script = \"./mnt/app.sh\"\n", "looking up its script"),
        ("script = \"program\"\nenv = { PATH = \"mnt/bin:/usr/bin:/bin\" }\n", "the programs of PATH"),
    ] {
        let bed = with_a_file_system(&format!("{app}restart_delay = 100\nmax_restarts = 1000000\n"));
        let mut run = start_with_a_file_system(&bed);
        run.wait_for_err("hung (0) is online");
        hang(&bed);
        let failure = run.wait_for_err("hung (0) could not start: its start hangs");
        assert!(failure.contains(step), "{failure}");
        run.wait_for_err("hung (0) could not start: its last start still hangs");
        // The supervisor answers, starts other applications, and stops all in order.
        bed.command(&["restart", "fine"]).ok();
        run.wait_for_lines("fine up", 2);
        run.expect_stop();
        assert_eq!(run.out().lines_with("fine bye TERM").len(), 2, "{}", run.story());
    }
}

#[test]
fn a_pid_file_on_a_file_system_that_does_not_answer_delays_nothing() {
    let bed = with_a_file_system("script = \"./steady.sh\"\nargs = [\"hung\"]\npid_file = \"mnt/pid\"\n");
    bed.file("ecosystem.toml", bed.read("ecosystem.toml") + "pid_file = \"fine.pid\"\n");
    let mut run = start_with_a_file_system(&bed);
    run.wait_for_line("hung up");
    hang(&bed);
    bed.command(&["restart", "all"]).ok();
    run.wait_for_lines("hung up", 2);
    let up = run.wait_for_lines("fine up", 2).remove(1);
    support::wait_until("the other pid file", || {
        bed.read("fine.pid").trim() == support::last_pid(&up).to_string()
    });
    run.expect_stop();
    assert_eq!(run.out().lines_with("bye").len(), 4, "{}", run.story());
    assert!(!bed.exists("fine.pid"), "it does not wait for the other one");
}

/// A script that goes on.
const WEB: &str = "console.log('web up');\nsetInterval(() => {}, 1000);\n";

/// A bed with a script for Node in a directory, another script, and a program.
fn with_three_programs() -> Bed {
    let bed = Bed::new();
    bed.file("mnt/web/package.json", r#"{ "main": "lib.js" }"#);
    bed.file("mnt/web/lib.js", WEB);
    for script in ["mnt/long.sh", "mnt/bin/only-in-path"] {
        bed.script(script, "#!/bin/sh\necho web up\nexec sleep 1000\n");
    }
    bed
}

#[test]
fn a_main_file_that_cannot_be_looked_up_does_not_count_against_the_app() {
    let bed = with_three_programs();
    bed.file("ecosystem.toml", "[[apps]]\nname = \"web\"\nscript = \"./mnt/web\"\nmax_restarts = 1\n");
    let mut run = start_with_a_failing_file_system(&bed, &["ecosystem.toml"], "package.json");
    // More often than `max_restarts` allows.
    for failure in run.wait_for_err_lines("web (0) could not start", 3) {
        assert!(failure.contains("Input/output error"), "{failure}");
    }
    bed.file("heal", "");
    run.wait_for_line("web up");
    run.expect_stop();
}

#[test]
fn a_target_that_cannot_be_looked_up_is_started_when_it_can() {
    for (target, name) in
        [("./mnt/long.sh", "long.sh"), ("mnt/web", "package.json"), ("only-in-path", "only-in-path")]
    {
        let bed = with_three_programs();
        let mut run = start_with_a_failing_file_system(&bed, &[target], name);
        run.wait_for_err("could not start");
        bed.file("heal", "");
        run.wait_for_line("web up");
        run.expect_stop();
    }
}

#[test]
fn a_control_socket_whose_directory_no_longer_answers_delays_no_end() {
    let bed = with_a_file_system("script = \"./steady.sh\"\nargs = [\"hung\"]\n");
    bed.file("mnt/home/here", "");
    let home = bed.path("mnt/home").to_str().unwrap().to_owned();
    let launch = bed.launch(&["ecosystem.toml"]).env("PROCRUN_HOME", &home).system_path();
    let mut run = launch.own_mounts().pid1().after("python3 hung.py &").start();
    run.wait_for_line("fine up");
    hang(&bed);
    run.signal(SIGTERM);
    // The first thread has ended, and the kernel waits for the one that removes the socket.
    let state = || support::procfs::process(run.pid()).map(|process| process.state);
    support::wait_until("the end of the supervisor's thread", || matches!(state(), None | Some('Z')));
    bed.file("heal", "");
    run.expect_code(0);
    assert_eq!(run.out().lines_with("bye TERM").len(), 2, "{}", run.story());
}
