//! What each signal does: stops, what is forwarded, and what the workers inherit.

mod servers;
mod wrappers;

use std::time::Duration;

use crate::support::{
    self, Bed, SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, last_pid,
    now, procfs, send, wait_until, workers,
};

/// A bed whose one app is `SIGNALS`, with more keys for it.
fn signals_app(more: &str) -> Bed {
    let bed = Bed::with(&format!("[[apps]]\nname = \"app\"\nscript = \"./signals.py\"\n{more}"));
    bed.script("signals.py", workers::SIGNALS);
    bed
}

/// A bed whose one app is `STUBBORN`, with more keys for it.
fn stubborn_app(more: &str) -> Bed {
    let bed = Bed::with(&format!("[[apps]]\nname = \"app\"\nscript = \"./stubborn.py\"\n{more}"));
    bed.script("stubborn.py", workers::STUBBORN);
    bed
}

#[test]
fn a_stop_signal_is_forwarded_as_it_is() {
    for pid1 in [false, true] {
        for (number, name) in [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT"), (SIGQUIT, "SIGQUIT")] {
            let bed = signals_app("instances = 2\n");
            let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
            run.wait_for_lines("up", 2);
            run.signal(number);
            run.expect_code(0);
            let got = run.out().lines_with("got");
            assert_eq!(got.len(), 2, "one signal each{}", run.story());
            assert!(got.iter().all(|line| line.ends_with(&format!("got {number}"))), "{name}{}", run.story());
            assert_eq!(run.out().lines_with("up").len(), 2, "no restart after a stop{}", run.story());
            assert!(!run.err().lines_with(name).is_empty(), "the log says which signal came{}", run.story());
        }
    }
}

#[test]
fn kill_signal_replaces_the_one_that_came() {
    for (signal, number) in
        [("\"SIGUSR2\"", SIGUSR2), ("\"INT\"", SIGINT), ("3", SIGQUIT), ("\"RTMIN+3\"", 37)]
    {
        let bed = stubborn_app(&format!("kill_signal = {signal}\nkill_timeout = 200\n"));
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.wait_for_line("up");
        run.signal(SIGTERM);
        run.expect_code(0);
        // SIGCONT comes with it: a suspended worker would not hear the other.
        let mut got = run.out().lines_with("got");
        got.retain(|line| !line.ends_with(&format!("got {SIGCONT}")));
        assert_eq!(got.len(), 1, "{signal}{}", run.story());
        assert!(got[0].ends_with(&format!("got {number}")), "{signal}{}", run.story());
    }
}

#[test]
fn a_real_time_signal_before_the_first_start_neither_ends_procrun_nor_is_lost() {
    for pid1 in [true, false] {
        let bed = Bed::with("start_delay = \"1h\"\n[[apps]]\nname = \"app\"\nscript = \"true\"\n");
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.wait_for_err("before the first start");
        run.signal(37);
        run.wait_for_err("SIGRTMIN+3");
        run.expect_stop();
    }
}

/// Ignores everything, with one child in its own session and one that is forked twice.
const STUBBORN_TREE: &str = r#"#!/usr/bin/env python3
import os, signal, time
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, signal.SIG_IGN)
def sleep():
    while True:
        time.sleep(1000)
read, write = os.pipe()
def tell():
    os.write(write, b"%d " % os.getpid())
if os.fork() == 0:  # in the session
    tell()
    sleep()
if os.fork() == 0:  # in a session of its own
    os.setsid()
    tell()
    sleep()
if os.fork() == 0:  # forked twice, in a session of its own
    os.setsid()
    if os.fork() == 0:
        tell()
        sleep()
    os._exit(0)
os.wait()
pids = []
while len(pids) < 3:
    pids += os.read(read, 100).decode().split()
print("up", os.getpid(), *pids, flush=True)
sleep()
"#;

#[test]
fn at_the_deadline_the_whole_tree_is_killed() {
    for pid1 in [false, true] {
        let bed = Bed::with("[[apps]]\nname = \"tree\"\nscript = \"./tree.py\"\nkill_timeout = 400\n");
        bed.script("tree.py", STUBBORN_TREE);
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.wait_for_line("up");
        run.pid();
        let tree = run.others();
        assert_eq!(tree.len(), 4, "the whole tree runs{}", run.story());
        let asked = now();
        run.signal(SIGTERM);
        run.expect_code(0);
        let took = asked.elapsed();
        assert!(took >= Duration::from_millis(400), "killed before the deadline: {took:?}{}", run.story());
        let left: Vec<i32> = tree.into_iter().filter(|&pid| procfs::alive(pid)).collect();
        assert_eq!(left, [0_i32; 0], "PID 1: {pid1}{}", run.story());
    }
}

/// The worker ends as it is asked to, its tree does not.
#[test]
fn what_a_stopped_worker_leaves_behind_is_ended_too() {
    let bed = Bed::with("[[apps]]\nname = \"tree\"\nscript = \"./tree.py\"\nkill_timeout = 400\n");
    let ends_well = STUBBORN_TREE
        .replace("print(\"up\"", "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\nprint(\"up\"");
    bed.script("tree.py", ends_well);
    let mut run = bed.start(&["ecosystem.toml"]);
    run.wait_for_line("up");
    run.pid();
    let tree = run.others();
    assert_eq!(tree.len(), 4, "the whole tree runs{}", run.story());
    run.expect_stop();
    // They were killed at the latest at the end; the kernel may need a moment.
    wait_until("the tree to be gone", || !tree.iter().any(|&pid| procfs::alive(pid)));
}

/// A wrapper that dies of the signal, as `npm start` does, while what it started drains.
fn dying_wrapper(prefix: &str) {
    for pid1 in [false, true] {
        let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./wrapper\"\nkill_timeout = \"25s\"\n");
        bed.script("wrapper", format!("#!/bin/sh\n{prefix} ./drains.py &\nwait\n"));
        bed.script("drains.py", DRAINS);
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.wait_for_line("up");
        run.expect_stop();
        assert_eq!(run.out().lines_with("drained").len(), 1, "PID 1: {pid1}{}", run.story());
    }
}

#[test]
fn what_a_dying_wrapper_leaves_in_its_session_has_time_to_drain() {
    dying_wrapper("");
}

#[test]
fn what_a_dying_wrapper_leaves_in_another_session_has_time_to_drain() {
    dying_wrapper("setsid");
}

#[test]
fn a_second_stop_signal_after_half_a_second_kills_at_once() {
    for (pid1, second) in [(false, SIGTERM), (true, SIGTERM), (true, SIGINT)] {
        let bed = stubborn_app("kill_timeout = \"10m\"\n");
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.wait_for_line("up");
        run.signal(SIGTERM);
        run.wait_for_line("got 15");
        let first_at = now();
        wait_until("600 ms to pass", || first_at.elapsed() > Duration::from_millis(600));
        assert!(!run.has_ended(), "it waits for the worker{}", run.story());
        run.signal(second);
        run.expect_code(0);
        assert_eq!(run.others(), [0_i32; 0], "{}", run.story());
    }
}

/// Takes a second to end after the first signal.
const DRAINS: &str = r#"#!/usr/bin/env python3
import signal, time
wanted = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("up", flush=True)
signal.sigwait(wanted)
time.sleep(1)
print("drained", flush=True)
"#;

#[test]
fn a_second_stop_signal_within_half_a_second_does_not_kill() {
    for pid1 in [false, true] {
        let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./drains.py\"\nkill_timeout = \"25s\"\n");
        bed.script("drains.py", DRAINS);
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.wait_for_line("up");
        run.signal(SIGTERM);
        run.signal(SIGINT);
        run.expect_code(0);
        assert_eq!(run.out().lines_with("drained").len(), 1, "killed{}", run.story());
    }
}

#[test]
fn a_worker_that_is_killed_in_a_stop_still_gives_0() {
    let bed = stubborn_app("kill_timeout = 100\n");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("up");
    run.expect_stop();
}

#[test]
fn a_suspended_worker_stops_on_request() {
    let bed = signals_app("kill_timeout = \"10m\"\n");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("up");
    let worker = run.worker();
    send(worker, SIGSTOP);
    wait_until("the worker to be suspended", || procfs::process(worker).is_some_and(|it| it.state == 'T'));
    run.expect_stop();
    assert_eq!(run.out().lines_with("got 15").len(), 1, "it ended by itself{}", run.story());
}

#[test]
fn other_signals_are_forwarded_to_each_worker() {
    for pid1 in [false, true] {
        let bed = stubborn_app("instances = 2\nkill_timeout = 100\n");
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.wait_for_lines("up", 2);
        for number in [SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, 34, 35, 50, 63, 64] {
            run.signal(number);
            // The end of the line, so that 3 is not 34.
            let got = run.wait_for_lines(&format!("got {number}"), 2);
            assert_ne!(got[0].split('|').next(), got[1].split('|').next(), "one each{}", run.story());
        }
        assert_eq!(run.out().lines_with("up").len(), 2, "nothing restarted{}", run.story());
        run.expect_stop();
    }
}

#[test]
fn a_signal_storm_reaches_the_workers_and_ends_nothing() {
    let bed = stubborn_app("kill_timeout = 100\n");
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("up");
    for _ in 0..500 {
        run.signal(SIGUSR1);
        run.signal(SIGWINCH);
    }
    run.signal(SIGUSR2);
    run.wait_for_line("got 12");
    run.wait_for_line("got 10");
    run.wait_for_line("got 28");
    run.expect_stop();
}

#[test]
fn workers_die_with_a_killed_procrun() {
    for identity in ["", "uid = 65534\ngid = 65534\n"] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"app\"\nscript = \"./stubborn.py\"\ninstances = 3\n{identity}"
        ));
        bed.script("stubborn.py", workers::STUBBORN);
        let mut run = bed.launch(&["ecosystem.toml"]).system_path().start();
        let pids: Vec<i32> = run.wait_for_lines("up", 3).iter().map(|line| last_pid(line)).collect();
        run.signal(SIGKILL);
        assert_eq!(run.wait_end(), support::End::Signal(SIGKILL));
        wait_until("the workers to be gone", || !pids.iter().any(|&pid| procfs::alive(pid)));
    }
}

/// Becomes procrun with signals blocked and ignored, as careless parents leave them.
const CARELESS: &str = r"
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execv(sys.argv[1], sys.argv[1:])
";

/// 32 and 33 are out of every program's reach; glibc's `posix_spawn`, which starts procrun here,
/// leaves the first one ignored.
const GLIBCS_OWN: u64 = 0b11 << 31;

#[test]
fn workers_inherit_neither_mask_nor_ignored_signals() {
    for pid1 in [false, true] {
        for careless in [false, true] {
            let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./app\"\n");
            bed.script("app", "#!/bin/sh\ngrep -E '^Sig(Blk|Ign)' /proc/self/status\nexec ./then.py\n");
            bed.script("then.py", workers::SIGNALS);
            let mut launch = bed.launch(&["ecosystem.toml"]).pid1_if(pid1);
            if careless {
                launch = launch.through(&["python3", "-c", CARELESS]);
            }
            let mut run = launch.start();
            for mask in ["SigBlk", "SigIgn"] {
                let line = run.wait_for_line(mask);
                let mask = line.split_whitespace().next_back().expect("a mask");
                let mask = u64::from_str_radix(mask, 16).expect("hexadecimal") & !GLIBCS_OWN;
                assert_eq!(mask, 0, "careless: {careless}{}", run.story());
            }
            run.wait_for_line("up");
            // And procrun itself hears what its parent had blocked.
            run.signal(SIGUSR1);
            run.wait_for_line("got 10");
            run.expect_stop();
            run.wait_for_line("got 15");
        }
    }
}

#[test]
fn control_c_on_a_terminal_stops() {
    for pid1 in [false, true] {
        let bed = signals_app("");
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).terminal().start();
        run.wait_for_line("up");
        run.type_keys(b"\x03");
        run.expect_code(0);
        run.wait_for_line("got 2");
    }
}

#[test]
fn a_second_control_c_kills_at_once() {
    for pid1 in [false, true] {
        let bed = stubborn_app("kill_timeout = \"10m\"\n");
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).terminal().start();
        run.wait_for_line("up");
        run.type_keys(b"\x03");
        run.wait_for_line("got 2");
        let first_at = now();
        wait_until("600 ms to pass", || first_at.elapsed() > Duration::from_millis(600));
        run.type_keys(b"\x03");
        run.expect_code(0);
    }
}

#[test]
fn the_hang_up_of_the_terminal_stops() {
    let bed = signals_app("args = [\"said\"]\n");
    let mut run = bed.launch(&["ecosystem.toml"]).terminal().hold_out().start();
    wait_until("the worker to be up", || bed.read("said").contains("up"));
    run.pid();
    run.hang_up();
    run.expect_code(0);
    let said = bed.read("said");
    assert_eq!(said.lines().filter(|line| line.starts_with("got")).count(), 1, "asked once to end: {said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("up")).count(), 1, "no restart: {said}");
    assert_eq!(run.others(), [0_i32; 0]);
}

#[test]
fn a_stop_during_the_wait_for_a_restart_starts_nothing() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"./crash.sh\"\nrestart_delay = \"10m\"\n");
    bed.script("crash.sh", "#!/bin/sh\necho up\nexit 1\n");
    for number in [SIGTERM, SIGINT] {
        let mut run = bed.start_pid1(&["ecosystem.toml"]);
        run.wait_for_line("up");
        wait_until("the worker to be gone", || run.children().is_empty());
        run.signal(number);
        run.expect_code(0);
        assert_eq!(run.out().lines_with("up").len(), 1, "{}", run.story());
    }
}

#[test]
fn a_stop_before_the_workers_are_up_ends_them_too() {
    for pid1 in [false, true] {
        let bed =
            Bed::with("[[apps]]\nname = \"a\"\nscript = \"./steady.sh\"\nargs = [\"a\"]\ninstances = 20\n");
        bed.script("steady.sh", workers::STEADY);
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        // With the first of the twenty.
        wait_until("the first worker", || !run.children().is_empty());
        run.signal(SIGTERM);
        run.expect_code(0);
        assert_eq!(run.others(), [0_i32; 0], "{}", run.story());
    }
}
