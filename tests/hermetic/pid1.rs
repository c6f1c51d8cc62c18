//! What falls to PID 1, and to a subreaper: orphans, zombies, what a worker left behind.

use crate::support::{self, Bed, SIGKILL, SIGUSR1, last_pid, procfs, send, wait_until, workers};

/// 2,000 shells that lose their parent, then end all at once when the gate opens.
const ORPHANS: &str = r"#!/bin/sh
mkfifo gate
(
    i=0
    while [ $i -lt 2000 ]; do
        (read -r line < gate) &
        i=$((i + 1))
    done
)
echo orphaned
while :; do sleep 1000; done
";

#[test]
fn two_thousand_orphans_that_end_at_once_are_all_reaped() {
    for pid1 in [true, false] {
        let bed = Bed::with("[[apps]]\nname = \"parent\"\nscript = \"./parent\"\n");
        bed.script("parent", ORPHANS);
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.wait_for_line("orphaned");
        wait_until("2,000 orphans to be adopted", || run.children().len() >= 2000);
        // The gate opens when it is opened for writing, and closes at once: end of file for all.
        let opened = support::tool("sh", &["-c", ": > gate"], bed.root());
        assert!(opened.status.success(), "{opened:?}");

        wait_until("all orphans to be reaped", || run.children().len() == 1);
        run.expect_stop();
    }
}

/// A child of a child of a child in a session of its own whose parents are gone.
const DOUBLE_FORK: &str = r#"#!/usr/bin/env python3
import os, signal, sys, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(read)
        os.write(write, b"%d" % os.getpid())
        os.close(write)
        while True:
            time.sleep(1000)
    os._exit(0)
os.wait()
os.close(write)
pid = int(os.read(read, 20))
print("orphan", pid, flush=True)
if sys.argv[1:] == ["crash"] and not os.path.exists("crashed"):
    open("crashed", "w").close()
    sys.exit(1)
time.sleep(1000)
"#;

#[test]
fn an_orphan_is_adopted_and_reaped_also_when_not_pid_1() {
    let bed = Bed::with("[[apps]]\nname = \"forker\"\nscript = \"./forker.py\"\n");
    bed.script("forker.py", DOUBLE_FORK);
    let mut run = bed.start(&["ecosystem.toml"]);
    let orphan = last_pid(&run.wait_for_line("orphan"));
    assert_eq!(procfs::process(orphan).expect("it runs").parent, run.pid(), "adopted{}", run.story());
    send(orphan, SIGKILL);
    wait_until("the orphan to be reaped", || procfs::process(orphan).is_none());
    run.expect_stop();
}

#[test]
fn an_orphan_is_adopted_and_reaped_as_pid_1() {
    let bed = Bed::with("[[apps]]\nname = \"forker\"\nscript = \"./forker.py\"\n");
    bed.script("forker.py", DOUBLE_FORK);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("orphan");
    let worker_and_orphan = run.children();
    assert_eq!(worker_and_orphan.len(), 2, "adopted{}", run.story());
    let orphan = worker_and_orphan.into_iter().max_by_key(|child| child.pid).expect("two").pid;
    send(orphan, SIGKILL);
    wait_until("the orphan to be reaped", || procfs::process(orphan).is_none());
    assert_eq!(run.children().len(), 1, "the worker lives{}", run.story());
    run.expect_stop();
}

#[test]
fn a_zombie_does_not_count_as_a_failed_worker() {
    let bed = Bed::with("[[apps]]\nname = \"parent\"\nscript = \"./parent\"\nargs = [\"parent\"]\n");
    bed.script("parent", workers::STEADY.replace("echo \"$1 up", "(sh -c 'exit 9' &)\necho \"$1 up"));
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("parent up");
    wait_until("the orphan to be gone", || run.children().len() == 1);
    run.expect_stop();
    assert_eq!(run.out().lines_with("parent up").len(), 1, "no restart{}", run.story());
}

/// The first run leaves a process in its session behind and crashes; the second one stays. What is
/// left ignores every stop signal and answers SIGUSR1 with a file.
fn leaves_something_behind(more: &str) -> Bed {
    let bed = Bed::with(&format!("[[apps]]\nname = \"leaver\"\nscript = \"./leaver\"\n{more}"));
    bed.script(
        "leaver",
        "#!/bin/sh\nif [ -f first ]; then echo second run; exec sleep 1000; fi\n> first\n\
         sh -c 'trap \"\" TERM INT HUP; trap \"echo >> lives\" USR1; echo left $$; while :; do sleep 1000 & wait; done' &\n\
         until [ -f go ]; do sleep 0.02; done\nexit 1\n",
    );
    bed
}

/// Whether what was left lives: it has to answer.
#[track_caller]
fn demand_an_answer(bed: &Bed, left: i32, when: &str) {
    let before = bed.read("lives").len();
    send(left, SIGUSR1);
    wait_until(&format!("what was left to answer {when}"), || bed.read("lives").len() > before);
}

#[test]
fn what_a_worker_left_in_its_session_is_swept_before_it_runs_again() {
    let bed = leaves_something_behind("");
    let mut run = bed.start(&["ecosystem.toml"]);
    let left = last_pid(&run.wait_for_line("left"));
    bed.file("go", "");
    run.wait_for_line("second run");
    wait_until("what was left to be gone", || procfs::process(left).is_none());
    assert_eq!(run.children().len(), 1, "only the second run{}", run.story());
    run.expect_stop();
}

#[test]
fn descendants_that_left_the_session_end_with_the_stop() {
    let bed = Bed::with("[[apps]]\nname = \"forker\"\nscript = \"./forker.py\"\nargs = [\"crash\"]\n");
    bed.script("forker.py", DOUBLE_FORK);
    let mut run = bed.start(&["ecosystem.toml"]);
    let orphans = run.wait_for_lines("orphan", 2);
    assert!(procfs::alive(last_pid(&orphans[1])), "the second run's orphan is untouched{}", run.story());
    run.expect_stop();
    // They were killed at the latest at the end; the kernel may need a moment.
    wait_until("the orphans to be gone", || !orphans.iter().any(|line| procfs::alive(last_pid(line))));
}

#[test]
fn without_treekill_what_a_worker_left_behind_stays() {
    let bed = leaves_something_behind("treekill = false\n");
    let mut run = bed.start(&["ecosystem.toml"]);
    let left = last_pid(&run.wait_for_line("left"));
    bed.file("go", "");
    run.wait_for_line("second run");
    demand_an_answer(&bed, left, "after the restart");
    run.expect_stop();
}

#[test]
fn every_instance_has_one_process_and_a_killed_one_is_replaced() {
    let bed =
        Bed::with("[[apps]]\nname = \"four\"\nscript = \"./steady.sh\"\nargs = [\"four\"]\ninstances = 4\n");
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_lines("four up", 4);
    assert_eq!(run.children().len(), 4, "{}", run.story());
    for round in 1..=3 {
        for child in run.children() {
            send(child.pid, SIGKILL);
        }
        run.wait_for_lines("four up", 4 + 4 * round);
        wait_until("four workers and no zombie", || run.children().len() == 4 && run.zombies().is_empty());
    }
    run.expect_stop();
    assert_eq!(run.out().lines_with("four bye TERM").len(), 4, "{}", run.story());
}
