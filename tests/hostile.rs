//! Shortages, failing system calls and hostile processes: the supervisor goes on and stops in order.

mod support;

use support::{Bed, workers};

const SCHEDULED: &str = "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ninstances = 30\n\
    [[apps]]\nname = \"nightly\"\nscript = \"./steady.sh\"\nargs = [\"nightly\"]\ncron_restart = \"0 3 * * *\"\n";

/// Starts the bed's applications as PID 1 after these shell commands, and through this program.
fn start(bed: &Bed, commands: &str, through: &[&str]) -> support::Procrun {
    bed.script("steady.sh", workers::STEADY);
    bed.launch(&["ecosystem.toml"]).pid1().system_path().after(commands).through(through).start()
}

#[test]
fn no_descriptor_for_a_schedule_ends_nobody() {
    // At each of these limits the table of descriptors is full at another step of the start.
    for limit in 36..=47 {
        let bed = Bed::with(SCHEDULED);
        let mut run = start(&bed, &format!("ulimit -n {limit}"), &[]);
        run.wait_for_line("app up");
        run.wait_for_err("spawn-failed");
        run.expect_stop();
        let count = |what: &str| run.out().lines_with(what).len();
        assert_eq!(count("app up"), count("app bye TERM"), "ulimit -n {limit}{}", run.story());
    }
}

#[test]
fn a_schedule_without_a_timer_is_checked_by_the_second() {
    // The kernel refuses the first timers, then gives one.
    let inject =
        ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=timerfd_create:error=EMFILE:when=1..2"];
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ncron_restart = \"* * * * * *\"\n",
    );
    let mut run = start(&bed, ":", &inject);
    run.wait_for_err("cannot make a timer for `cron_restart`");
    run.wait_for_lines("app bye", 2);
    run.wait_for_err("schedules have their timer again");
    run.expect_stop();
}

#[test]
fn a_lost_timer_is_made_again() {
    // Setting it fails once, in the middle of its work.
    let inject =
        ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=timerfd_settime:error=ENOMEM:when=3"];
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ncron_restart = \"* * * * * *\"\n",
    );
    let mut run = start(&bed, ":", &inject);
    run.wait_for_err("cannot make a timer for `cron_restart`: Cannot allocate memory");
    run.wait_for_err("schedules have their timer again");
    run.wait_for_lines("app bye", 3);
    run.expect_stop();
}

#[test]
fn a_shortage_of_processes_makes_no_app_errored() {
    // The first eight tries to make a process fail, more than `max_restarts` allows.
    let inject = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=clone:error=EAGAIN:when=1..8"];
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\nmax_restarts = 2\nautorestart = false\n",
    );
    let mut run = start(&bed, ":", &inject);
    run.wait_for_err("Resource temporarily unavailable");
    run.wait_for_line("app up");
    run.expect_stop();
}

/// A bed in which `app/` belongs to nobody, and `secret` only to root.
fn with_a_user(keys: &str) -> Bed {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\nuser = \"nobody\"\n{keys}"
    ));
    bed.file("secret", "only root's\n");
    bed.file("app/here", "");
    let sh = "chmod 600 secret; chown -R 65534:65534 app";
    assert!(support::tool("sh", &["-c", sh], bed.root()).status.success());
    bed
}

#[test]
fn a_users_link_in_place_of_a_log_or_pid_file_leads_to_nothing_of_roots() {
    let bed =
        with_a_user("out_file = \"app/out.log\"\nerror_file = \"app/err.log\"\npid_file = \"app/app.pid\"\n");
    let links = "ln -s ../secret app/out.log; ln -s ../made-by-root app/err.log; ln -s ../secret app/app.pid";
    assert!(support::tool("sh", &["-c", links], bed.root()).status.success());
    let mut run = start(&bed, ":", &[]);
    run.wait_for_line("app up");
    run.wait_for_err("cannot write the log file");
    run.wait_for_err("pid file");
    run.expect_stop();
    assert_eq!(bed.read("secret"), "only root's\n", "{}", run.story());
    assert!(!bed.exists("made-by-root"));
}

#[test]
fn files_in_a_users_directory_are_the_users() {
    let bed = with_a_user("out_file = \"app/logs/out.log\"\npid_file = \"app/run/app.pid\"\n");
    let mut run = start(&bed, ":", &[]);
    run.wait_for_line("app up");
    support::wait_until("the line in the file", || bed.read("app/logs/out.log").contains("app up"));
    support::wait_until("the pid file", || bed.exists("app/run/app.pid"));
    for name in ["app/logs", "app/logs/out.log", "app/run/app.pid"] {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(bed.path(name)).unwrap().uid(), 65534, "{name}");
    }
    run.expect_stop();
    assert!(!bed.exists("app/run/app.pid"), "the pid file goes with the process");
}

#[test]
fn a_pid_file_that_is_a_fifo_delays_nothing() {
    let bed = with_a_user("pid_file = \"app/app.pid\"\n");
    assert!(support::tool("mkfifo", &["app/app.pid"], bed.root()).status.success());
    let mut run = start(&bed, ":", &[]);
    run.wait_for_line("app up");
    run.wait_for_err("pid file");
    run.expect_stop();
}

#[test]
fn a_child_that_its_user_stops_before_it_runs_freezes_nobody() {
    // A process of the application's user may stop the child as soon as that is its user's; strace does so
    // at the system call that follows.
    let inject = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=chdir:signal=SIGSTOP:when=1"];
    let bed = with_a_user("");
    let mut run = start(&bed, ":", &inject);
    // The start ends by its timeout, is tried again, and the supervisor goes on meanwhile.
    let failure = "cannot make a process: Connection timed out";
    run.wait_for_err(failure);
    run.signal(support::SIGHUP);
    run.wait_for_err("no application has changed");
    run.wait_for_err_lines(failure, 2);
    run.expect_stop();
}

#[test]
fn a_program_that_cannot_be_executed_by_another_user_is_an_error_of_its_start() {
    let bed = Bed::with(
        "[[apps]]\nname = \"app\"\nscript = \"./private/app\"\nuser = \"nobody\"\nautorestart = false\n",
    );
    bed.script("private/app", "#!/bin/sh\n");
    assert!(support::tool("chmod", &["700", "private"], bed.root()).status.success());
    let mut run = start(&bed, ":", &[]);
    assert!(run.wait_for_err("spawn-failed").contains("ermission denied"), "{}", run.story());
    run.expect_code(126);
}
