//! What the scripts of PM2's users do, command by command. Each was run with PM2 7, too.

use serde_json::Value;

use crate::{
    ask, launch, statuses,
    support::{Bed, Procrun},
};

/// A bed with three scripts that stay.
fn bed() -> Bed {
    let bed = Bed::new();
    for name in ["idle.sh", "loop.sh", "sub/idle.sh"] {
        bed.script(name, "#!/bin/sh\nexec sleep 1000\n");
    }
    bed
}

/// A command that is done. While this lives, so does what has its environment.
#[track_caller]
fn done(bed: &Bed, args: &[&str]) -> Procrun {
    let mut run = launch(bed, args).start();
    run.expect_code(0);
    run
}

/// PM2's environment of each instance.
#[track_caller]
fn listed(bed: &Bed) -> Vec<Value> {
    let list = ask(bed, &["jlist"]).json();
    list.as_array().unwrap().iter().map(|one| one["pm2_env"].clone()).collect()
}

#[track_caller]
fn ids(bed: &Bed) -> Vec<u64> {
    listed(bed).iter().map(|env| env["pm_id"].as_u64().unwrap()).collect()
}

#[track_caller]
fn restarts(bed: &Bed) -> Vec<u64> {
    listed(bed).iter().map(|env| env["restart_time"].as_u64().unwrap()).collect()
}

#[test]
fn an_app_can_be_named_by_its_script() {
    let bed = bed();
    let _api = done(&bed, &["start", "idle.sh", "--name", "api"]);
    let _loop = done(&bed, &["start", "loop.sh", "-i", "2"]);
    let _other = done(&bed, &["start", "./sub/idle.sh", "--name", "other"]);
    ask(&bed, &["restart", "./idle.sh"]).ok();
    assert_eq!(restarts(&bed), [1, 0, 0, 0]);
    ask(&bed, &["stop", "idle.sh"]).ok();
    ask(&bed, &["stop", "sub/../loop.sh"]).ok();
    assert_eq!(statuses(&bed), ["api stopped", "loop stopped", "loop stopped", "other online"]);
    assert_eq!(ask(&bed, &["id", bed.path("loop.sh").to_str().unwrap()]).ok(), "[ 1, 2 ]\n");
    // A start of a script is a start of that script, under its own name.
    let _idle = done(&bed, &["start", "idle.sh"]);
    assert_eq!(statuses(&bed).last().unwrap(), "idle online");
    ask(&bed, &["scale", "loop.sh", "1"]).ok();
    ask(&bed, &["signal", "TERM", "./sub/idle.sh"]).ok();
    // A name comes before a script.
    let _named = done(&bed, &["start", "loop.sh", "--name", "idle.sh"]);
    ask(&bed, &["delete", "idle.sh"]).ok();
    assert_eq!(ids(&bed), [0, 1, 3, 4]);
    ask(&bed, &["delete", "./idle.sh"]).ok();
    assert_eq!(ids(&bed), [1, 3]);
    let gone = bed.path("gone.sh").display().to_string();
    ask(&bed, &["stop", "./gone.sh"]).fails(1, &format!("no application runs the script `{gone}`"));
    ask(&bed, &["stop", "gone.sh"]).fails(1, "there is no application or namespace `gone.sh`");
    ask(&bed, &["kill"]).ok();
}

#[test]
fn counters_and_ids_are_pm2s() {
    let bed = bed();
    let _run = done(&bed, &["start", "idle.sh", "-i", "3"]);
    ask(&bed, &["stop", "idle"]).ok();
    ask(&bed, &["start", "idle"]).ok();
    assert_eq!(restarts(&bed), [0, 0, 0]);
    ask(&bed, &["stop", "0"]).ok();
    ask(&bed, &["restart", "idle"]).ok();
    assert_eq!(restarts(&bed), [0, 1, 1], "a restart of what is stopped is a start");
    ask(&bed, &["scale", "idle", "1"]).ok();
    assert_eq!(ids(&bed), [0], "the newest went");
    ask(&bed, &["scale", "idle", "2"]).ok();
    assert_eq!(ids(&bed), [0, 3]);
    ask(&bed, &["delete", "all"]).ok();
    let _again = done(&bed, &["start", "loop.sh"]);
    assert_eq!(ids(&bed), [0]);
    ask(&bed, &["kill"]).ok();
}
