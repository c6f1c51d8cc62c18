//! SIGHUP sent by a process: the file is read again and what changed is applied.

use crate::support::{Bed, SIGHUP, SIGTERM, SIGUSR1, wait_until, workers};

const RELOADED: [&str; 4] = ["a", "b", "c", "d"];

/// An app for each letter; `a` has a variable besides.
fn letters(letters: &[&str], variable: &str) -> String {
    let app = |letter: &&str| {
        let env =
            if *letter == "a" { format!("env = {{ VARIABLE = \"{variable}\" }}\n") } else { String::new() };
        format!("[[apps]]\nname = \"{letter}\"\nscript = \"./{letter}.sh\"\nargs = [\"{letter}\"]\n{env}")
    };
    letters.iter().map(app).collect()
}

#[test]
fn a_hang_up_sent_by_a_process_re_reads_the_file() {
    for pid1 in [false, true] {
        let bed = Bed::with(&letters(&["a", "b"], "old"));
        for letter in RELOADED {
            bed.script(&format!("{letter}.sh"), workers::STEADY.replace("up $$", "up $VARIABLE $$"));
        }
        let mut run = bed.launch(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.wait_for_line("a up old");
        run.wait_for_line("b up");

        // One removed, one added, one as it was.
        bed.file("ecosystem.toml", letters(&["a", "c"], "old"));
        run.signal(SIGHUP);
        run.wait_for_line("c up");
        run.wait_for_line("b bye");
        wait_until("b to be gone", || run.children().len() == 2);

        // A file with errors changes nothing, and the error is shown.
        bed.file(
            "ecosystem.toml",
            letters(&["d"], "") + "[[apps]]\nname = \"e\"\nscript = \"true\"\nmax_memory_restrat = 1\n",
        );
        run.signal(SIGHUP);
        run.wait_for_err("max_memory_restrat");

        // One changed.
        bed.file("ecosystem.toml", letters(&["a", "c"], "new"));
        run.signal(SIGHUP);
        run.wait_for_line("a up new");
        run.wait_for_line("a bye");

        // Nothing changed, then one added: the signal before changed nothing.
        run.signal(SIGHUP);
        bed.file("ecosystem.toml", letters(&["a", "c", "d"], "new"));
        run.signal(SIGHUP);
        run.wait_for_line("d up");
        assert_eq!(run.children().len(), 3, "{}", run.story());

        run.expect_stop();
        for (what, times) in [("a up", 2), ("b up", 1), ("c up", 1), ("d up", 1), ("a bye", 2), ("b bye", 1)]
        {
            assert_eq!(run.out().lines_with(what).len(), times, "{what}{}", run.story());
        }
    }
}

#[test]
fn a_new_file_whose_program_is_missing_does_not_end_the_others() {
    let bed = Bed::with(&letters(&["a"], "old"));
    bed.script("a.sh", workers::STEADY);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("a up");
    bed.file("ecosystem.toml", letters(&["a", "b"], "old"));
    run.signal(SIGHUP);
    run.wait_for_err("b.sh");
    assert_eq!(run.out().lines_with("a up").len(), 1, "{}", run.story());
    run.expect_stop();
    assert_eq!(run.out().lines_with("a bye TERM").len(), 1, "{}", run.story());
}

#[test]
fn a_target_without_a_file_survives_a_hang_up_sent_by_a_process() {
    let bed = Bed::new();
    bed.script("stubborn.py", workers::STUBBORN);
    let mut run = bed.start_pid1(&["./stubborn.py", "--kill-timeout", "100"]);
    run.wait_for_line("up");
    run.signal(SIGHUP);
    run.signal(SIGUSR1);
    run.wait_for_line("got 10");
    assert_eq!(run.out().lines_with("up").len(), 1, "{}", run.story());
    run.expect_stop();
}

#[test]
fn a_file_that_is_gone_changes_nothing() {
    let bed = Bed::with(&letters(&["a"], "old"));
    bed.script("a.sh", workers::STEADY);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("a up");
    std::fs::remove_file(bed.path("ecosystem.toml")).unwrap();
    run.signal(SIGHUP);
    run.wait_for_err("ecosystem.toml");
    run.expect_stop();
    assert_eq!(run.out().lines_with("a up").len(), 1, "{}", run.story());
    assert_eq!(run.out().lines_with("a bye TERM").len(), 1, "{}", run.story());
}

/// Holds a lock while it runs and takes half a second to end.
const ONE_AT_A_TIME: &str = r#"#!/bin/sh
exec 9> lock
flock -n 9 || { echo "two at once"; exit 1; }
trap 'sleep 0.5; exit 0' TERM INT
echo "up $VARIABLE"
while :; do sleep 1000 9>&- & wait $!; done
"#;

#[test]
fn changes_in_quick_succession_end_with_the_last_one_and_never_two_processes() {
    let bed = Bed::with(&letters(&["a"], "0"));
    bed.script("a.sh", ONE_AT_A_TIME);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("up 0");
    for round in 1..=6 {
        bed.file("ecosystem.toml", letters(&["a"], &round.to_string()));
        run.signal(SIGHUP);
        // The next one comes when this one has been taken in, and may well still be stopping.
        run.wait_for_err_lines("again", round);
    }
    run.wait_for_line("up 6");
    run.expect_stop();
    assert_eq!(run.out().lines_with("two at once").len(), 0, "{}", run.story());
}

#[test]
fn an_app_that_is_removed_and_added_again_while_it_stops_runs_once() {
    let bed = Bed::with(&letters(&["a", "b"], "0"));
    bed.script("a.sh", ONE_AT_A_TIME);
    bed.script("b.sh", workers::STEADY);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("up 0");
    bed.file("ecosystem.toml", letters(&["b"], ""));
    run.signal(SIGHUP);
    run.wait_for_err_lines("again", 1);
    bed.file("ecosystem.toml", letters(&["a", "b"], "1"));
    run.signal(SIGHUP);
    run.wait_for_line("up 1");
    assert_eq!(run.children().len(), 2, "{}", run.story());
    run.expect_stop();
    assert_eq!(run.out().lines_with("two at once").len(), 0, "{}", run.story());
    assert_eq!(run.out().lines_with("b up").len(), 1, "{}", run.story());
}

/// A file that changes while it is being read is read once more: what was applied last is what it
/// says last.
#[test]
fn a_hang_up_during_an_evaluation_is_not_lost() {
    let bed = Bed::new();
    bed.script("steady.sh", workers::STEADY);
    bed.file("names", "one");
    bed.file(
        "ecosystem.config.js",
        "const fs = require('fs');\n\
         const names = fs.readFileSync('names', 'utf8').split(' ');\n\
         fs.appendFileSync('reads', 'x');\n\
         while (fs.existsSync('hold')) {}\n\
         module.exports = { apps: names.map((name) => ({ name, script: './steady.sh', args: name })) };\n",
    );
    let mut run = bed.start_pid1(&["ecosystem.config.js"]);
    run.wait_for_line("one up");
    bed.file("hold", "");
    bed.file("names", "one two");
    run.signal(SIGHUP);
    wait_until("the second evaluation to read the names", || bed.read("reads").len() == 2);
    bed.file("names", "one two three");
    run.signal(SIGHUP);
    run.wait_for_err_lines("SIGHUP", 2);
    std::fs::remove_file(bed.path("hold")).unwrap();
    run.wait_for_line("three up");
    run.wait_for_line("two up");
    run.expect_stop();
    assert_eq!(run.out().lines_with("one up").len(), 1, "{}", run.story());
}

#[test]
fn a_stop_while_a_change_is_applied_ends_all() {
    let bed = Bed::with(&letters(&["a"], "0"));
    bed.script("a.sh", ONE_AT_A_TIME);
    let mut run = bed.start_pid1(&["ecosystem.toml"]);
    run.wait_for_line("up 0");
    bed.file("ecosystem.toml", letters(&["a"], "1"));
    run.signal(SIGHUP);
    run.wait_for_err_lines("again", 1);
    run.signal(SIGTERM);
    run.expect_code(0);
    assert_eq!(run.out().lines_with("up").len(), 1, "nothing new is started{}", run.story());
}

#[test]
fn only_holds_for_the_new_file_too() {
    let bed = Bed::with(&letters(&["a", "b"], "0"));
    for letter in ["a", "b", "c"] {
        bed.script(&format!("{letter}.sh"), workers::STEADY.replace("up $$", "up $VARIABLE $$"));
    }
    let mut run = bed.start_pid1(&["ecosystem.toml", "--only", "a"]);
    run.wait_for_line("a up 0");
    bed.file("ecosystem.toml", letters(&["a", "b", "c"], "1"));
    run.signal(SIGHUP);
    run.wait_for_line("a up 1");
    run.expect_stop();
    assert_eq!(run.out().lines_with("b up").len() + run.out().lines_with("c up").len(), 0, "{}", run.story());
}
