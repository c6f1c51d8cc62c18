//! What the scripts of PM2's users do, command by command. Each was run with PM2 7, too.

use serde_json::Value;

use super::{APPS, statuses, supervisor, wait_for_statuses};
use crate::support::{Bed, Procrun, SIGHUP, wait_until};

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
    let mut run = bed.isolated(args).start();
    run.expect_code(0);
    run
}

/// PM2's environment of each instance.
#[track_caller]
fn listed(bed: &Bed) -> Vec<Value> {
    let list = bed.command(&["jlist"]).json();
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
fn a_bare_word_starts_the_app_that_runs_the_file_of_that_name() {
    let bed = bed();
    bed.script("worker", "#!/bin/sh\nexec sleep 1000\n");
    let _api = done(&bed, &["start", "worker", "--name", "api"]);
    bed.command(&["stop", "api"]).ok();
    bed.command(&["start", "worker"]).ok();
    assert_eq!(statuses(&bed), ["api online"]);
    bed.command(&["start", "worker", "--name", "jobs"]).ok();
    assert_eq!(statuses(&bed), ["jobs online"], "it is renamed");
    // A path is that script, under its own name.
    let _worker = done(&bed, &["start", "./worker"]);
    assert_eq!(statuses(&bed), ["jobs online", "worker online"]);
    // Now a name, which counts before a script.
    bed.command(&["stop", "all"]).ok();
    bed.command(&["start", "worker"]).ok();
    assert_eq!(statuses(&bed), ["jobs stopped", "worker online"]);
}

#[test]
fn an_app_can_be_named_by_its_script() {
    let bed = bed();
    let _api = done(&bed, &["start", "idle.sh", "--name", "api"]);
    let _loop = done(&bed, &["start", "loop.sh", "-i", "2"]);
    let _other = done(&bed, &["start", "./sub/idle.sh", "--name", "other"]);
    bed.command(&["restart", "./idle.sh"]).ok();
    assert_eq!(restarts(&bed), [1, 0, 0, 0]);
    bed.command(&["stop", "idle.sh"]).ok();
    bed.command(&["stop", "sub/../loop.sh"]).ok();
    assert_eq!(statuses(&bed), ["api stopped", "loop stopped", "loop stopped", "other online"]);
    assert_eq!(bed.command(&["id", bed.path("loop.sh").to_str().unwrap()]).ok(), "[ 1, 2 ]\n");
    // A start of a script is a start of that script, under its own name.
    let _idle = done(&bed, &["start", "idle.sh"]);
    assert_eq!(statuses(&bed).last().unwrap(), "idle online");
    bed.command(&["scale", "loop.sh", "1"]).ok();
    bed.command(&["signal", "TERM", "./sub/idle.sh"]).ok();
    // A name comes before a script.
    let _named = done(&bed, &["start", "loop.sh", "--name", "idle.sh"]);
    bed.command(&["delete", "idle.sh"]).ok();
    assert_eq!(ids(&bed), [0, 1, 3, 4]);
    bed.command(&["delete", "./idle.sh"]).ok();
    assert_eq!(ids(&bed), [1, 3]);
    let gone = bed.path("gone.sh").display().to_string();
    bed.command(&["stop", "./gone.sh"]).fails(1, &format!("no app runs the script `{gone}`"));
    bed.command(&["stop", "gone.sh"]).fails(1, "no app, id or namespace `gone.sh`");
    bed.command(&["kill"]).ok();
}

#[test]
fn counters_and_ids_are_pm2s() {
    let bed = bed();
    let _run = done(&bed, &["start", "idle.sh", "-i", "3"]);
    bed.command(&["stop", "idle"]).ok();
    bed.command(&["start", "idle"]).ok();
    assert_eq!(restarts(&bed), [0, 0, 0]);
    bed.command(&["stop", "0"]).ok();
    bed.command(&["restart", "idle"]).ok();
    assert_eq!(restarts(&bed), [0, 1, 1], "a restart of what is stopped is a start");
    bed.command(&["scale", "idle", "1"]).ok();
    assert_eq!(ids(&bed), [0], "the newest went");
    bed.command(&["scale", "idle", "2"]).ok();
    assert_eq!(ids(&bed), [0, 3]);
    bed.command(&["delete", "all"]).ok();
    let _again = done(&bed, &["start", "loop.sh"]);
    assert_eq!(ids(&bed), [0]);
    bed.command(&["kill"]).ok();
}

/// Whether each instance would restart when a file changes.
#[track_caller]
fn watching(bed: &Bed) -> Vec<bool> {
    listed(bed).iter().map(|env| env["watch"].as_bool().unwrap()).collect()
}

#[test]
fn watch_is_toggled_by_a_restart_and_rests_while_the_app_is_stopped() {
    let bed = bed();
    let _run = done(&bed, &["start", "idle.sh", "--watch"]);
    for on in [false, true, false] {
        bed.command(&["restart", "idle", "--watch"]).ok();
        assert_eq!(watching(&bed), [on]);
    }
    let watched = bed.path("sub").display().to_string();
    for _ in 0..2 {
        bed.command(&["start", "idle", &format!("--watch={watched}")]).ok();
        assert_eq!(watching(&bed), [true], "a path is watched, however often it is said");
    }
    let _other = done(&bed, &["start", "loop.sh", &format!("--watch={watched}")]);
    let restarts_for = |change: &str| {
        let log = bed.read("home/procrun.log");
        let of = |app: &str| log.lines().filter(|line| line.contains(change) && line.contains(app)).count();
        (of("idle"), of("loop"))
    };
    bed.command(&["stop", "idle"]).ok();
    assert_eq!(watching(&bed), [false, true]);
    wait_until("a change to be seen", || {
        bed.file("sub/new.js", "1");
        restarts_for("sub/new.js").1 > 0
    });
    wait_until("the restart to be over", || statuses(&bed) == ["idle stopped", "loop online"]);
    bed.command(&["start", "idle"]).ok();
    assert_eq!(watching(&bed), [true, true], "it watches again");
    wait_until("a change to restart it", || {
        bed.file("sub/newer.js", "2");
        restarts_for("sub/newer.js").0 > 0
    });
    bed.command(&["kill"]).ok();
}

#[test]
fn a_restart_with_a_name_renames_the_app() {
    let bed = bed();
    bed.file(
        "ecosystem.toml",
        "[[apps]]\nname = \"db\"\nscript = \"./idle.sh\"\ninstances = 2\n\n\
         [[apps]]\nname = \"api\"\nscript = \"./loop.sh\"\ndepends_on = [\"db\"]\n",
    );
    let _run = done(&bed, &["start", "ecosystem.toml"]);
    let before = bed.command(&["pid", "api"]).ok();
    bed.command(&["restart", "db", "--name", "api"]).fails(1, "app `api` already exists");
    bed.command(&["restart", "all", "--name", "x"]).fails(1, "`--name` is for one application, not for 2");
    bed.command(&["restart", "db", "--name", ""]).fails(64, "name");
    assert_eq!(restarts(&bed), [0, 0, 0]);
    bed.command(&["restart", "0", "--name", "postgres"]).ok();
    assert_eq!(statuses(&bed), ["postgres online", "postgres online", "api online"]);
    assert_eq!((ids(&bed), restarts(&bed)), (vec![0, 1, 2], vec![1, 1, 0]), "the places stay");
    assert_eq!(bed.command(&["pid", "api"]).ok(), before);
    let env = bed.command(&["env", "0", "--json"]).json();
    assert_eq!(env["name"], "postgres", "{env}");
    let api = bed.command(&["describe", "api", "--json"]).json();
    assert!(api[0]["depends_on"][0].as_str().unwrap().starts_with("postgres"), "{api}");
    bed.command(&["logs", "postgres", "--nostream"]).ok();
    bed.command(&["scale", "postgres", "1"]).ok();
    bed.command(&["save"]).ok();
    bed.command(&["delete", "all"]).ok();
    let _again = done(&bed, &["resurrect"]);
    assert_eq!(statuses(&bed), ["postgres online", "api online"]);
    bed.command(&["restart", "db"]).fails(1, "`db`");
    bed.command(&["kill"]).ok();
}

#[test]
fn a_renamed_app_of_the_own_file_has_its_old_name_when_the_file_is_read_again() {
    let bed = Bed::with(APPS);
    let run = supervisor(&bed, true, 3);
    bed.command(&["restart", "worker", "--name", "jobs"]).ok();
    assert_eq!(statuses(&bed), ["api online", "api online", "jobs online"]);
    run.signal(SIGHUP);
    wait_for_statuses(&bed, &["api online", "api online", "worker online"]);
}

/// PM2's quick start and its cheat sheet, one after another.
#[test]
fn the_commands_of_pm2s_tutorial_do_what_they_do_there() {
    let bed = bed();
    bed.file("app.js", "require('http').createServer((_, it) => it.end('x')).listen(0);\n");
    let _run = done(&bed, &["start", "app.js"]);
    let _worker = done(&bed, &["start", "./idle.sh", "--name", "worker", "--", "--fast"]);
    let _cluster = done(&bed, &["start", "app.js", "--name", "web", "-i", "4"]);
    assert!(bed.command(&["list"]).ok().contains("worker"));
    assert_eq!(ids(&bed), [0, 1, 2, 3, 4, 5]);
    bed.command(&["start", "app.js"]).fails(1, "app `app` already exists");
    let _forced = done(&bed, &["start", "app.js", "-f"]);
    assert_eq!(statuses(&bed).last().unwrap(), "app-1 online");
    bed.command(&["stop", "app.js"]).ok();
    assert_eq!(statuses(&bed).iter().filter(|one| one.ends_with("stopped")).count(), 6, "all of that script");
    bed.command(&["start", "all"]).ok();
    assert_eq!(restarts(&bed), [0; 7]);
    bed.command(&["restart", "worker", "--name", "jobs"]).ok();
    bed.command(&["reload", "web"]).ok();
    bed.command(&["scale", "web", "2"]).ok();
    bed.command(&["scale", "web", "+1"]).ok();
    assert_eq!(ids(&bed), [0, 1, 2, 3, 6, 7]);
    bed.command(&["delete", "app-1"]).ok();
    bed.command(&["reset", "all"]).ok();
    assert_eq!(restarts(&bed), [0; 5]);
    assert!(bed.command(&["describe", "jobs"]).ok().contains("--fast"));
    for command in [&["jlist"][..], &["prettylist"], &["env", "0"], &["flush"], &["logs", "--nostream"]] {
        bed.command(command).ok();
    }
    bed.command(&["stop", "jobs"]).ok();
    let listed = ["app online", "jobs stopped", "web online", "web online", "web online"];
    assert_eq!(statuses(&bed), listed);
    bed.command(&["save"]).ok();
    bed.command(&["delete", "all"]).ok();
    assert_eq!(bed.command(&["jlist"]).ok(), "[]\n");
    let _again = done(&bed, &["resurrect"]);
    wait_for_statuses(&bed, &listed);
    assert_eq!(ids(&bed), [0, 1, 2, 3, 4]);
    bed.command(&["kill"]).ok();
    assert_eq!(bed.command(&["jlist"]).ok(), "[]\n");
}
