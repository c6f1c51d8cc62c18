//! Processes that are stopped or late before they execute their program: the supervisor continues.

use crate::{
    start_steady,
    support::{self, Bed, Procrun, SIGHUP, SIGKILL, SIGUSR1, strace::injected_in_all},
    user_files::with_a_user,
};

const NOT_EXECUTED: &str = "the new process has not executed it in time";

/// Another process may stop a child before it executes its program; strace does so at this system call, in
/// each child.
const STOP_CHILDREN: [&str; 8] = injected_in_all("inject=chdir:signal=SIGSTOP:when=1");

#[test]
fn a_child_that_is_stopped_before_it_runs_freezes_nothing() {
    // One with a user of its own, and one that has procrun's.
    for bed in [with_a_user(""), Bed::with("[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\n")] {
        let mut run = start_steady(&bed, ":", &STOP_CHILDREN);
        // The start ends by its timeout, is tried again, and the supervisor goes on meanwhile.
        run.wait_for_err(NOT_EXECUTED);
        run.signal(SIGHUP);
        run.wait_for_err("no app has changed");
        run.wait_for_err_lines(NOT_EXECUTED, 2);
        run.expect_stop();
    }
}

#[test]
fn a_process_that_appears_after_its_start_has_timed_out_is_killed() {
    // The first clone(2) of a thread takes longer than a start may take, and makes the process then.
    let inject = injected_in_all("inject=clone:delay_enter=6500000:when=1");
    let bed =
        Bed::with("cgroup = false\n[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\n");
    let mut run = start_steady(&bed, ":", &inject);
    run.wait_for_err(NOT_EXECUTED);
    run.wait_for_err("app (0) is online");
    run.wait_for_line("app up");
    support::wait_until("the end of all processes but one", || {
        // strace is a child, too. A worker leads its session.
        let children = run.children().into_iter();
        children.filter(|child| child.session == child.pid && child.state != 'Z').count() == 1
    });
    run.expect_stop();
    let online = run.err().lines_with("app (0) is online").len();
    assert_eq!(run.out().lines_with("app up").len(), online, "it executes nothing{}", run.story());
}

#[test]
fn a_signal_for_an_app_that_is_being_started_reaches_it() {
    // The process comes only after a while.
    let inject = injected_in_all("inject=clone:delay_enter=3000000:when=1");
    let bed =
        Bed::with("cgroup = false\n[[apps]]\nname = \"app\"\nscript = \"/bin/sleep\"\nargs = [\"1000\"]\n");
    let home = bed.path("home").to_string_lossy().into_owned();
    let launch = |args: &[&str]| bed.launch(args).env("PROCRUN_HOME", &home).system_path();
    let mut run = launch(&["ecosystem.toml"]).pid1().through(&inject).start();
    support::wait_until("the start to be under way", || {
        let mut list = launch(&["jlist"]).start();
        list.wait_end();
        list.out().lines().concat().contains("launching")
    });
    run.signal(SIGUSR1);
    run.wait_for_err("received SIGUSR1");
    assert!(run.err().lines_with("is online").is_empty(), "the process was there before{}", run.story());
    run.wait_for_err("app (0) is online");
    // `sleep` has no handler for it.
    run.wait_for_err("app (0) exited: signal SIGUSR1");
    run.expect_stop();
}

#[test]
fn a_reload_during_the_first_start_keeps_the_schedule_that_it_brings() {
    // The process comes only after a while, and what the plan needs besides is set up then.
    let inject = injected_in_all("inject=clone:delay_enter=3000000:when=1");
    let bed =
        Bed::with("cgroup = false\n[[apps]]\nname = \"app\"\nscript = \"/bin/sleep\"\nargs = [\"1000\"]\n");
    let launch = |args: &[&str]| bed.isolated(args).system_path();
    let mut run = launch(&["ecosystem.toml"]).pid1().through(&inject).start();
    support::wait_until("the start to be under way", || {
        let mut list = launch(&["jlist"]).start();
        list.wait_end();
        list.out().lines().concat().contains("launching")
    });
    let changed = bed.read("ecosystem.toml") + "env = { NEW = \"1\" }\ncron_restart = \"* * * * * *\"\n";
    bed.file("ecosystem.toml", changed);
    run.signal(SIGHUP);
    run.wait_for_err("received SIGHUP");
    assert!(run.err().lines_with("is online").is_empty(), "the process was there before{}", run.story());
    // The first start, the changed app, and the schedule.
    run.wait_for_err_lines("app (0) is online", 4);
    run.expect_stop();
}

#[test]
fn a_stop_ends_a_start_under_way_at_once() {
    for bed in [with_a_user(""), Bed::with("[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\n")] {
        let mut run = start_steady(&bed, ":", &STOP_CHILDREN);
        // The child is there and does not run.
        support::wait_until("a stopped child", || {
            run.children().iter().any(|child| matches!(child.state, 'T' | 't'))
        });
        run.expect_stop();
        assert!(run.err().lines_with(NOT_EXECUTED).is_empty(), "killed, not waited for{}", run.story());
    }
}

/// Stops all processes of its namespace but itself and PID 1, again and again (kill(2), -1).
const STOPPER: &str = "#!/bin/sh\necho attacking\nwhile :; do kill -STOP -1 2> /dev/null; done\n";

/// Waits until this number of starts have failed because their process was stopped before it executed its program. A
/// process that is stopped after that is killed here: its app would stay online, and no start would follow.
fn wait_for_stopped_starts(run: &Procrun, count: usize) {
    let has_executed = |pid: i32| {
        std::fs::read_link(format!("/proc/{pid}/exe"))
            .is_ok_and(|exe| exe.file_name().is_some_and(|name| name != "procrun"))
    };
    support::wait_until("starts whose process was stopped", || {
        for child in run.children().into_iter().filter(|child| child.state == 'T' && has_executed(child.pid))
        {
            support::send(child.pid, SIGKILL);
        }
        run.err().lines_with(NOT_EXECUTED).len() >= count
    });
}

#[test]
fn a_worker_that_stops_all_others_does_not_freeze_the_supervisor() {
    let bed = Bed::with(
        "[[apps]]\nname = \"stopper\"\nscript = \"./stopper.sh\"\nkill_timeout = \"1s\"\n\
         [[apps]]\nname = \"victim\"\nscript = \"/bin/true\"\nrestart_delay = 1\nmax_restarts = 1000000\n\
         kill_timeout = \"1s\"\n",
    );
    bed.script("stopper.sh", STOPPER);
    let mut run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.wait_for_line("attacking");
    wait_for_stopped_starts(&run, 1);
    // From outside of the namespace.
    bed.command(&["ping"]).ok();
    run.signal(SIGHUP);
    run.wait_for_err("no app has changed");
    wait_for_stopped_starts(&run, 2);
    run.expect_stop();
}
