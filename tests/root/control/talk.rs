//! What processes say, as commands show it.

use std::fmt::Write as _;

use serde_json::Value;

use super::{APPS, supervisor};
use crate::support::{Bed, Procrun, SIGINT, wait_until};

/// Says three lines on each stream, then one for each line of its FIFO.
const TALKER: &str = r#"#!/bin/sh
for i in 1 2 3; do echo "out $i"; echo "err $i" >&2; done
exec 3<> fifo
while read -r line <&3; do echo "$line"; done
"#;

fn bed(keys: &str) -> Bed {
    let bed = Bed::with(&format!("[[apps]]\nname = \"talk\"\nscript = \"./talk.sh\"\n{keys}\n"));
    bed.script("talk.sh", TALKER);
    let made = crate::support::tool("mkfifo", &["fifo"], bed.root());
    assert!(made.status.success());
    bed
}

fn say(bed: &Bed, what: &str) {
    std::fs::write(bed.path("fifo"), format!("{what}\n")).unwrap();
}

fn run(bed: &Bed) -> Procrun {
    let run = supervisor(bed, false, 1);
    run.wait_for_line("out 3");
    run.wait_for_err("err 3");
    run
}

#[test]
fn logs_shows_recent_lines_and_follows_new_ones() {
    let bed = bed("");
    let _run = run(&bed);
    let lines = |args: &[&str]| -> Vec<String> {
        let said = bed.command(&[&["logs", "talk", "--nostream"], args].concat()).ok();
        said.lines().map(str::to_owned).collect()
    };
    let (own, mut all): (Vec<_>, Vec<_>) =
        lines(&[]).into_iter().partition(|line| line.starts_with("procrun |"));
    all.sort();
    assert_eq!(
        all,
        ["err 1", "err 2", "err 3", "out 1", "out 2", "out 3"].map(|text| format!("0|talk  | {text}"))
    );
    assert_eq!(own.len(), 1, "{own:?}");
    assert!(own[0].starts_with("procrun | talk (0) is online, pid"), "{own:?}");
    for same in [&["--tail", "2"], &["-n", "2"], &["--lines", "2"]] {
        assert_eq!(lines(&[&["--out", "--raw"], &same[..]].concat()), ["out 2", "out 3"]);
    }
    assert_eq!(lines(&["--raw", "--tail", "all"]).len(), 6, "--raw has nothing of the supervisor");
    assert_eq!(lines(&["--out", "--raw", "--lines", "2"]), ["out 2", "out 3"]);
    assert_eq!(lines(&["--err", "--raw", "--lines", "1"]), ["err 3"]);
    let json: Value = serde_json::from_str(&lines(&["--out", "--json", "--lines", "1"])[0]).unwrap();
    assert_eq!((&json["message"], &json["type"]), (&"out 3".into(), &"out".into()));
    let line = &lines(&["--out", "--format", "--lines", "1"])[0];
    assert!(line.contains("app=talk id=0 type=out message=out 3"), "{line}");
    let line = &lines(&["--out", "--timestamp=YYYY", "--lines", "1"])[0];
    assert!(line.starts_with("0|talk | 20") && line.ends_with(": out 3"), "{line}");

    let mut follower = bed.isolated(&["logs", "--raw", "--lines", "0"]).start();
    let mut other = bed.isolated(&["logs", "talk", "--out", "--lines", "1"]).start();
    other.wait_for_line("out 3");
    // The first one gets no line before: ask until it follows.
    wait_until("the follower to follow", || {
        say(&bed, "hello");
        !follower.out().lines_with("hello").is_empty()
    });
    other.wait_for_line("0|talk | hello");
    bed.command(&["restart", "talk"]).ok();
    follower.wait_for_line("out 1");
    for follower in [&mut follower, &mut other] {
        follower.signal(SIGINT);
        follower.wait_end();
    }
    bed.command(&["logs", "--lines", "many"]).fails(64, "not a number of lines");
    bed.command(&["logs", "--since", "tomorrow"]).fails(64, "must be a time in the past");
    bed.command(&["logs", "nobody"]).fails(1, "nobody");
}

#[test]
fn lines_of_the_supervisor_are_with_those_that_they_are_about() {
    let bed = Bed::with(
        "[[apps]]\nname = \"main\"\nscript = \"echo main up; exec sleep 1000\"\n\
         [[apps]]\nname = \"side\"\nscript = \"echo side up; exec sleep 1000\"\ninstances = 2\n",
    );
    let _run = supervisor(&bed, false, 3);
    let mut follower = bed.isolated(&["logs", "side"]).start();
    follower.wait_for_line("1|side  | side up");
    bed.command(&["restart", "2"]).ok();
    bed.command(&["restart", "main"]).ok();
    follower.wait_for_line("side (2) exited: signal");
    let about = |target: &str, text: &str| {
        let said = bed.command(&["logs", target, "--nostream", "--err"]).ok();
        said.lines().filter(|line| line.contains(text)).count()
    };
    assert_eq!((about("side", "is online"), about("side", "restarting, sending")), (3, 1));
    assert_eq!((about("1", "is online"), about("1", "restarting, sending")), (1, 0));
    assert_eq!((about("2", "is online"), about("2", "restarting, sending")), (2, 1));
    assert_eq!((about("main", "is online"), about("main", "side")), (2, 0));
    let json = bed.command(&["logs", "main", "--nostream", "--err", "--json", "--lines", "1"]).ok();
    assert!(json.contains("\"app_name\":\"procrun\"") && json.contains("main (0) is online"), "{json}");
    assert!(follower.out().lines_with("main").is_empty(), "{}", follower.story());
    follower.signal(SIGINT);
    follower.wait_end();
}

#[test]
fn lines_can_be_had_since_a_time() {
    let bed = bed("out_file = \"out.log\"");
    bed.file("out.log", "long ago\n");
    let _run = run(&bed);
    let since = |time: &str, more: &[&str]| {
        bed.command(&[&["logs", "talk", "--nostream", "--out", "--raw", "--since", time], more].concat()).ok()
    };
    assert_eq!(since("1h", &[]), "out 1\nout 2\nout 3\n", "the time of lines in files is not known");
    assert_eq!(since("1h", &["-n", "1"]), "out 3\n");
    assert_eq!(since("0s", &[]), "");
}

#[test]
fn older_lines_come_from_the_files() {
    let bed = bed("out_file = \"out.log\"");
    bed.file("out.log", "long ago\nlast time\n");
    let _run = run(&bed);
    let said = bed.command(&["logs", "talk", "--nostream", "--out", "--raw", "--lines", "4"]).ok();
    assert_eq!(said, "last time\nout 1\nout 2\nout 3\n");
    bed.command(&["flush", "talk"]).ok();
    assert_eq!(bed.read("out.log"), "");
    assert_eq!(bed.command(&["logs", "talk", "--nostream", "--raw"]).ok(), "");
}

#[test]
fn a_follower_ends_with_the_supervisor() {
    let bed = bed("");
    let mut run = run(&bed);
    let follower = bed.isolated(&["logs"]).start();
    follower.wait_for_line("out 3");
    run.expect_stop();
    assert_eq!(follower.output().code, 0);
}

#[test]
fn a_follower_that_reads_nothing_costs_others_nothing_and_gets_the_number_of_missed_lines() {
    let bed =
        Bed::with("[[apps]]\nname = \"fast\"\nscript = \"while :; do seq 100000; echo >> progress; done\"\n");
    let run = bed.isolated(&["ecosystem.toml"]).after("exec > /dev/null").start();
    run.wait_for_err("is online, pid");
    let held: Vec<Procrun> = (0..20).map(|_| bed.isolated(&["logs", "fast"]).hold_out().start()).collect();
    let progress = || bed.read("progress").len();
    let before = progress();
    wait_until("the worker to go on", || progress() > before + 20);
    // The worker goes on while the list is answered: nothing waits for those that read nothing.
    let before = progress();
    bed.command(&["list"]).ok();
    wait_until("the worker to go on", || progress() > before + 20);
    let mut late = held.into_iter().next().unwrap();
    late.release_out();
    late.wait_for_line("lines were missed");
}

#[test]
fn the_table_of_a_terminal_fits_it() {
    let bed = Bed::with(APPS);
    let _run = supervisor(&bed, false, 3);
    for width in [40, 60, 80, 200] {
        let mut command = String::new();
        write!(command, "stty cols {width}").unwrap();
        let mut list = bed.isolated(&["list"]).terminal().after(&command).start();
        list.wait_for_line("└");
        list.wait_end();
        let lines = list.out().lines();
        assert!(lines.iter().any(|line| line.contains("\x1b[32monline\x1b[0m")), "{lines:?}");
        for line in &lines {
            let plain = line.replace("\x1b[0m", "").replace("\x1b[1;36m", "");
            let plain = plain.replace("\x1b[32m", "").replace("\x1b[1m", "");
            assert!(plain.trim_end().chars().count() <= width, "{width}: {plain}");
        }
    }
    let mut list = bed.isolated(&["list"]).terminal().env("NO_COLOR", "1").start();
    list.wait_for_line("└");
    list.wait_end();
    assert!(!list.out().lines().concat().contains('\x1b'));
}
