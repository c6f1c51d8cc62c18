//! Commands that change applications touch what has changed, in the supervisor that runs, and leave tasks alone.

use std::path::Path;

use crate::{
    ask, launch, socket, statuses, supervisor,
    support::{Bed, Procrun, wait_until},
    wait_for_statuses,
};

/// A server, and a migration that counts its runs; both read a variable that only the container has.
const FILE: &str = r#"
[[apps]]
name = "migrate"
script = "./migrate.sh"
oneshot = true
env = { FROM_FILE = "${EXPORTED}" }

[[apps]]
name = "api"
script = "./api.sh"
env = { FROM_FILE = "${EXPORTED}" }
depends_on = ["migrate"]
"#;

fn bed(file: &str) -> Bed {
    let bed = Bed::with(file);
    bed.script("migrate.sh", "#!/bin/sh\necho run >> runs\n");
    bed.script("api.sh", "#!/bin/sh\necho \"api $INHERITED $FROM_FILE\"\nexec sleep 1000\n");
    bed
}

fn pid(bed: &Bed, name: &str) -> String {
    ask(bed, &["pid", name]).ok()
}

fn runs(bed: &Bed) -> usize {
    bed.read("runs").lines().count()
}

/// A command with an environment of its own that is done. While this lives, so does what has that environment.
#[track_caller]
fn done_with(bed: &Bed, variables: &[(&str, &str)], args: &[&str]) -> Procrun {
    let launched = variables.iter().fold(launch(bed, args), |launch, (name, value)| launch.env(name, value));
    let mut run = launched.start();
    run.expect_code(0);
    run
}

#[test]
fn a_start_of_the_file_leaves_alone_what_has_not_changed_whatever_its_environment() {
    let bed = bed(FILE);
    let run = launch(&bed, &["ecosystem.toml"])
        .env("EXPORTED", "by the entrypoint")
        .env("INHERITED", "old")
        .pid1()
        .start();
    run.wait_for_line("api old by the entrypoint");
    let before = pid(&bed, "api");
    // Without what the entrypoint has exported, and with something else.
    for file in ["ecosystem.toml", "./ecosystem.toml"] {
        done_with(&bed, &[("INHERITED", "new")], &["start", file]);
        assert_eq!((pid(&bed, "api"), runs(&bed)), (before.clone(), 1), "{file}{}", run.story());
    }
    ask(&bed, &["stop", "ecosystem.toml", "--only", "api"]).ok();
    done_with(&bed, &[("INHERITED", "new")], &["start"]);
    run.wait_for_lines("api old by the entrypoint", 2);
    done_with(&bed, &[("INHERITED", "new")], &["restart", "ecosystem.toml"]);
    run.wait_for_lines("api old by the entrypoint", 3);
    assert_eq!(runs(&bed), 1, "{}", run.story());

    let changed = [("INHERITED", "new"), ("EXPORTED", "by the command")];
    let _updated = done_with(&bed, &changed, &["start", "ecosystem.toml", "--update-env"]);
    run.wait_for_line("api new by the command");
    wait_until("the migration that reads otherwise now", || runs(&bed) == 2);
    let before = pid(&bed, "api");
    ask(&bed, &["start", "ecosystem.toml"]).ok();
    assert_eq!((pid(&bed, "api"), runs(&bed)), (before, 2), "it stays so");
}

#[test]
fn a_javascript_file_reads_the_same_for_every_command() {
    let bed = Bed::new();
    bed.script("api.sh", "#!/bin/sh\nexec sleep 1000\n");
    bed.file(
        "ecosystem.config.js",
        "module.exports = { apps: [{ name: 'api', script: './api.sh', env: { PORT: process.env.PORT } }] };\n",
    );
    let _run = done_with(&bed, &[("PORT", "3000")], &["start", "ecosystem.config.js"]);
    let before = pid(&bed, "api");
    ask(&bed, &["start", "ecosystem.config.js"]).ok();
    assert_eq!(pid(&bed, "api"), before);
    let _updated = done_with(&bed, &[("PORT", "4000")], &["start", "ecosystem.config.js", "-a"]);
    assert_ne!(pid(&bed, "api"), before);
    assert_eq!(ask(&bed, &["env", "api", "--json"]).json()["PORT"], "4000");
}

#[test]
fn a_task_is_left_alone_by_what_does_not_name_it() {
    let bed = bed(&FILE.replace("${EXPORTED}", "x"));
    bed.script("slow.sh", "#!/bin/sh\ntrap 'echo interrupted' EXIT\necho began\nsleep 1000 & wait\n");
    let file = bed.read("ecosystem.toml");
    bed.file(
        "ecosystem.toml",
        format!("{file}[[apps]]\nname = \"slow\"\nscript = \"./slow.sh\"\noneshot = true\n"),
    );
    let run = launch(&bed, &["ecosystem.toml"]).start();
    run.wait_for_line("began");
    wait_until("the api", || statuses(&bed) == ["migrate stopped", "api online", "slow online"]);
    let (slow, mut kept) = (pid(&bed, "slow"), Vec::new());
    for args in [
        &["restart", "all"][..],
        &["reload", "all"],
        &["restart", "default", "--update-env"],
        &["restart", "all", "--max-restarts", "9"],
        &["start", "all", "--max-restarts", "8"],
        &["reload", "ecosystem.toml"],
        &["restart", "ecosystem.toml", "--update-env"],
        &["start", "ecosystem.toml"],
    ] {
        let before = pid(&bed, "api");
        let run = done_with(&bed, &[], args);
        let said = run.story();
        kept.push(run);
        assert_eq!((runs(&bed), pid(&bed, "slow")), (1, slow.clone()), "{args:?}: {said}");
        assert_eq!(pid(&bed, "api") == before, args[0] == "start" && args[1] != "all", "{args:?}: {said}");
    }
    assert!(
        ask(&bed, &["restart", "all"]).ok().contains("migrate (0) is a task that has completed: left alone")
    );
    for (times, args) in [["restart", "migrate"], ["reload", "migrate"], ["restart", "0"]].iter().enumerate()
    {
        ask(&bed, args).ok();
        wait_until("the task that was named", || runs(&bed) == times + 2);
    }
    ask(&bed, &["restart", "slow"]).ok();
    assert_ne!(pid(&bed, "slow"), slow);
    run.wait_for_line("interrupted");
}

#[test]
fn a_start_adds_to_the_supervisor_that_runs_wherever_it_is() {
    let bed = bed(&FILE.replace("${EXPORTED}", "x"));
    let run = supervisor(&bed, false, 1);
    let there = socket(&bed);
    assert_eq!(there, bed.path("home").join(format!("{}.sock", run.pid())));
    let said = ask(&bed, &["start", "./api.sh", "--name", "more"]).ok();
    assert!(!said.contains("in the background"), "{said}");
    run.wait_for_err("more (2) is online");
    wait_for_statuses(&bed, &["migrate stopped", "api online", "more online"]);
    assert_eq!(socket(&bed), there, "there is no second one");
    ask(&bed, &["healthcheck"]).ok();

    // Several, none of which is the default one: one has to be named.
    let second = launch(&bed, &["./api.sh"]).start();
    second.wait_for_err("is online");
    for args in [&["start", "./api.sh", "--name", "x"][..], &["reload", "ecosystem.toml"], &["start", "more"]]
    {
        let said = ask(&bed, args).fails(69, "2 supervisors run here");
        assert!(said.contains(&format!("--socket {}", there.display())), "{said}");
    }
    ask(&bed, &["start", "./api.sh", "--name", "x", "--socket", there.to_str().unwrap()]).ok();
    run.wait_for_err("x (3) is online");
}

#[test]
fn a_start_in_the_background_says_what_it_has_started_and_where() {
    let bed = bed(FILE);
    let started = |args: &[&str]| done_with(&bed, &[], args);
    let first = started(&["start", "./api.sh"]);
    let pid = ask(&bed, &["ping", "--json"]).json()["pid"].clone();
    let home = bed.path("home");
    first.wait_for_line(&format!("started procrun in the background: pid {pid}, home {}", home.display()));
    let said = first.wait_for_line("its own log is");
    for path in said.split([' ', ',']).filter(|word| word.starts_with('/')) {
        assert!(Path::new(path).exists(), "{path}");
    }
    let second = started(&["start", "./api.sh", "--name", "more"]);
    assert_eq!(second.out().lines_with("in the background").len(), 0, "{}", second.story());
    ask(&bed, &["save"]).ok();
    ask(&bed, &["kill"]).ok();
    let third = started(&["resurrect"]);
    third.wait_for_line("started procrun in the background: pid");
    ask(&bed, &["kill"]).ok();
    let silent = started(&["start", "./api.sh", "--silent"]);
    assert_eq!(silent.out().lines(), [""; 0]);
}
