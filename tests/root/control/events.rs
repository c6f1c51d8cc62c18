//! `procrun events`: what has happened arrives once, in order and as JSON, at clients that ask and at those
//! that follow.

use serde_json::Value;

use super::{APPS, Rough, socket, supervisor};
use crate::support::{Bed, wait_for, wait_until};

/// An app that stays until the file `broken` is there, then exits with 7.
const FRAGILE: &str = "#!/bin/sh\n[ -e broken ] && exit 7\necho intact\nexec sleep 1000\n";

fn fragile(keys: &str) -> Bed {
    let bed = Bed::with(&format!("[[apps]]\nname = \"main\"\nscript = \"./main.sh\"\n{keys}"));
    bed.script("main.sh", FRAGILE);
    bed
}

fn parsed(lines: &str) -> Vec<Value> {
    let event = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.lines().map(event).collect()
}

/// The kept events that a client gets with these words.
#[track_caller]
fn events(bed: &Bed, args: &[&str]) -> Vec<Value> {
    let all = ["events", "--json", "--nostream", "--lines", "all"];
    parsed(&bed.command(&[&all[..], args].concat()).ok())
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

/// Waits until an event of this kind is kept, and gives all that are there by then.
#[track_caller]
fn wait_for_kind(bed: &Bed, kind: &str) -> Vec<Value> {
    wait_for(kind, || {
        let events = events(bed, &[]);
        events.iter().any(|event| event["kind"] == kind).then_some(events)
    })
}

#[test]
fn a_restart_arrives_in_order_once_and_at_a_follower() {
    let bed = Bed::with(APPS);
    let run = supervisor(&bed, false, 3);
    let follower = bed.isolated(&["events", "worker", "--json"]).start();
    follower.wait_for_line("instance.online");
    let told = bed.command(&["restart", "worker"]).ok();
    assert!(told.contains("worker (2): restarting, sending SIGTERM\n"), "{told}");
    assert!(told.contains("worker (2) is online, pid "), "{told}");

    let kept = events(&bed, &["worker"]);
    assert_eq!(kinds(&kept), ["instance.online", "instance.stopping", "instance.exited", "instance.online"]);
    assert!(kept.iter().all(|event| event["subject"]["app"] == "worker" && event["subject"]["id"] == 2));
    let exit = &kept[2]["data"];
    assert_eq!((&exit["reason"], &exit["signal"]), (&"command".into(), &"SIGTERM".into()), "{exit}");
    assert_eq!((&exit["next"], &exit["restart_in_ms"]), (&"restart".into(), &0.into()), "{exit}");
    wait_until("the follower to have the same", || follower.out().lines().len() == kept.len());
    assert_eq!(parsed(&(follower.out().lines().join("\n"))), kept);

    let all = events(&bed, &[]);
    let seqs: Vec<u64> = all.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "none is missing");
    assert!(kinds(&all).contains(&"command.received"));
    run.wait_for_err("command: restart worker");
}

#[test]
fn a_follower_hears_of_the_end() {
    let bed = Bed::with(APPS);
    let mut run = supervisor(&bed, true, 3);
    let follower = bed.isolated(&["events", "--lines", "0"]).start();
    let other = bed.isolated(&["events", "--lines", "1", "--json"]).start();
    other.wait_for_line("seq");
    // It follows when it has seen this.
    wait_until("the follower", || {
        bed.command(&["signal", "CONT", "api"]).ok();
        !follower.out().lines_with("command: signal").is_empty()
    });
    run.expect_stop();
    for follower in [follower, other] {
        let said = follower.output().ok();
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("runtime.exiting"), "{said}");
        assert!(said.contains("runtime.signal") && said.contains("runtime.stopping"), "{said}");
    }
}

#[test]
fn an_aborted_reload_reports_its_reason() {
    let bed = fragile("min_uptime = \"10s\"\n");
    let run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("intact");
    bed.file("broken", "");
    let reload = bed.command(&["reload", "main"]);
    assert!(reload.out.contains("the reload of main is aborted: main (0) exited: code 7"), "{reload:?}");
    assert!(reload.out.contains("\n  hint: "), "{reload:?}");
    reload.fails(1, "the reload of main is aborted: main (0) exited: code 7");
    let kept = wait_for_kind(&bed, "reload.aborted");
    let of_reload: Vec<&str> =
        kinds(&kept).into_iter().skip_while(|kind| *kind != "reload.started").collect();
    let first =
        ["reload.started", "instance.stopping", "instance.exited", "instance.online", "instance.exited"];
    assert_eq!(of_reload[..first.len()], first);
    let aborted = kept.iter().find(|event| event["kind"] == "reload.aborted").unwrap();
    assert_eq!(aborted["subject"]["app"], "main");
    let failure = &aborted["data"]["reason"]["not-ready"]["failure"]["ended"];
    assert_eq!((&failure["ending"], &failure["code"]), (&"exit".into(), &7.into()), "{aborted}");
    run.wait_for_err("error: the reload of main is aborted: main (0) exited: code 7");
}

#[test]
fn an_app_that_is_errored_and_deleted_still_has_its_events() {
    let bed = fragile("max_restarts = 2\nexp_backoff_restart_delay = 1\n");
    bed.file("broken", "");
    let stays = "[[apps]]\nname = \"stays\"\nscript = \"exec sleep 1000\"\n";
    bed.file("ecosystem.toml", bed.read("ecosystem.toml") + stays);
    let run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_err("errored: 2 unstable runs in a row");
    bed.command(&["delete", "main"]).ok();
    let kept = events(&bed, &["main"]);
    let ends: Vec<&Value> =
        kept.iter().filter(|event| event["kind"] == "instance.exited").map(|event| &event["data"]).collect();
    let next: Vec<&str> = ends.iter().map(|end| end["next"].as_str().unwrap()).collect();
    assert_eq!(next, ["restart", "errored"]);
    assert_eq!((&ends[1]["code"], &ends[1]["unstable_restarts"]), (&7.into(), &2.into()));
    bed.command(&["events", "nothing", "--nostream"]).fails(1, "nothing");

    // As text: a line each, with the level's hint below.
    let text = bed.command(&["events", "main", "--nostream", "--lines", "2"]).ok();
    assert_eq!(text.lines().count(), 3, "two events and a hint: {text}");
    assert!(text.contains("  instance.exited           main (0) exited: code 7"), "{text}");
}

#[test]
fn events_can_be_limited_by_time_and_number() {
    let bed = Bed::with(APPS);
    let _run = supervisor(&bed, false, 3);
    assert!(!events(&bed, &["--since", "1h"]).is_empty());
    // A moment later nothing is younger than no time at all.
    wait_until("the start to be over", || events(&bed, &["--since", "0s"]).is_empty());
    let last = parsed(&bed.command(&["events", "api", "--json", "--nostream", "--lines", "1"]).ok());
    assert_eq!(last, events(&bed, &["api"])[1..], "the last of two");
    for number in 0..20 {
        bed.command(&["signal", "CONT", if number % 2 == 0 { "api" } else { "worker" }]).ok();
    }
    let usual = parsed(&bed.command(&["events", "--json", "--nostream"]).ok());
    assert_eq!(usual.len(), 15, "as many as `logs` shows");
    bed.command(&["events", "--since", "tomorrow"]).fails(64, "must be a time in the past");
    bed.command(&["events", "--lines", "many"]).fails(64, "not a number of lines");
}

#[test]
fn a_memory_limit_and_a_changed_file_are_events() {
    let bed = Bed::with(
        "[[apps]]\nname = \"leak\"\nscript = \"./leak.sh\"\nmax_memory_restart = \"20M\"\n\
         [[apps]]\nname = \"main\"\nscript = \"./main.sh\"\nwatch = [\"src\"]\n",
    );
    bed.script("main.sh", FRAGILE);
    // The string of the shell is kept as long as the shell runs.
    bed.script(
        "leak.sh",
        "#!/bin/sh\nif [ -e leaked ]; then exec sleep 1000; fi\ntouch leaked\n\
         x=$(head -c 60000000 /dev/zero | tr '\\0' x)\nwhile :; do sleep 1; done\n",
    );
    bed.file("src/one", "1");
    let run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_err_lines("is online, pid", 2);
    let kept = wait_for_kind(&bed, "memory.limit_exceeded");
    let event = kept.iter().find(|event| event["kind"] == "memory.limit_exceeded").unwrap();
    assert_eq!((&event["subject"]["app"], &event["data"]["action"]), (&"leak".into(), &"restart".into()));
    assert!(event["data"]["used_bytes"].as_u64() > event["data"]["limit_bytes"].as_u64(), "{event}");
    wait_until("the watch", || {
        bed.file("src/one", "2");
        events(&bed, &["main"]).iter().any(|event| event["kind"] == "watch.changed")
    });
    let kept = events(&bed, &["main"]);
    let changed = kept.iter().find(|event| event["kind"] == "watch.changed").unwrap();
    assert!(changed["data"]["path"].as_str().unwrap().ends_with("src/one"), "{changed}");
}

#[test]
fn a_configuration_that_is_read_again_is_an_event() {
    let bed = Bed::with(APPS);
    let run = supervisor(&bed, false, 3);
    bed.file("ecosystem.toml", APPS.replace("\"jobs\"", "3"));
    bed.command(&["apply"]).fails(1, "namespace");
    bed.file("ecosystem.toml", APPS.replace("sleep 1000\"\ninstances", "sleep 999\"\ninstances"));
    bed.command(&["apply"]).ok();
    let kept = events(&bed, &[]);
    let rejected = kept.iter().find(|event| event["kind"] == "config.rejected").unwrap();
    assert!(rejected["data"]["problems"][0].as_str().unwrap().contains("namespace"), "{rejected}");
    let changed = kept.iter().find(|event| event["kind"] == "config.app_changed").unwrap();
    assert_eq!((&changed["subject"]["app"], &changed["data"]["change"]), (&"api".into(), &"changed".into()));
    let of_app = events(&bed, &["api"]);
    assert!(kinds(&of_app).contains(&"config.app_changed"), "{of_app:?}");
    run.wait_for_err("api: changed");
}

#[test]
fn the_kept_events_are_bounded_and_a_slow_follower_gets_the_number_of_missed_ones() {
    let bed = Bed::with(APPS);
    let run = supervisor(&bed, false, 3);
    let path = socket(&bed);
    let mut rough = Rough::greeted(&path);
    for _ in 0..1100 {
        rough.asks(r#"{"act":{"action":{"signal":18},"targets":["worker"]}}"#);
    }
    let kept = events(&bed, &[]);
    assert_eq!(kept.len(), 1000);
    assert!(kept[0]["seq"].as_u64() > Some(100), "{}", kept[0]);
    drop(run);
}
