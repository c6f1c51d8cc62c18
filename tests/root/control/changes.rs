//! Commands that change applications touch what has changed, in the supervisor that runs, and leave tasks alone.

use std::path::Path;

use super::{socket, statuses, supervisor, wait_for_statuses};
use crate::support::{Bed, Procrun, SIGHUP, wait_until};

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
    bed.command(&["pid", name]).ok()
}

fn runs(bed: &Bed) -> usize {
    bed.read("runs").lines().count()
}

/// A command with an environment of its own that is done. While this lives, so does what has that environment.
#[track_caller]
fn done_with(bed: &Bed, variables: &[(&str, &str)], args: &[&str]) -> Procrun {
    let launched = variables.iter().fold(bed.isolated(args), |launch, (name, value)| launch.env(name, value));
    let mut run = launched.start();
    run.expect_code(0);
    run
}

#[test]
fn a_start_of_the_file_leaves_alone_what_has_not_changed_whatever_its_environment() {
    let bed = bed(FILE);
    let run = bed
        .isolated(&["ecosystem.toml"])
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
    bed.command(&["stop", "ecosystem.toml", "--only", "api"]).ok();
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
    bed.command(&["start", "ecosystem.toml"]).ok();
    assert_eq!((pid(&bed, "api"), runs(&bed)), (before, 2), "nothing has changed");
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
    bed.command(&["start", "ecosystem.config.js"]).ok();
    assert_eq!(pid(&bed, "api"), before);
    let _updated = done_with(&bed, &[("PORT", "4000")], &["start", "ecosystem.config.js", "-a"]);
    assert_ne!(pid(&bed, "api"), before);
    assert_eq!(bed.command(&["env", "api", "--json"]).json()["PORT"], "4000");
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
    let run = bed.isolated(&["ecosystem.toml"]).start();
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
    assert!(bed.command(&["restart", "all"]).ok().contains("migrate (0) is a completed task: not restarted"));
    for (times, args) in [["restart", "migrate"], ["reload", "migrate"], ["restart", "0"]].iter().enumerate()
    {
        bed.command(args).ok();
        wait_until("the task that was named", || runs(&bed) == times + 2);
    }
    bed.command(&["restart", "slow"]).ok();
    assert_ne!(pid(&bed, "slow"), slow);
    run.wait_for_line("interrupted");
}

#[test]
fn a_start_adds_to_the_supervisor_that_runs_wherever_it_is() {
    let bed = bed(&FILE.replace("${EXPORTED}", "x"));
    let run = supervisor(&bed, false, 1);
    let there = socket(&bed);
    assert_eq!(there, bed.path("home").join(format!("{}.sock", run.pid())));
    let said = bed.command(&["start", "./api.sh", "--name", "more"]).ok();
    assert!(!said.contains("in the background"), "{said}");
    run.wait_for_err("more (2) is online");
    wait_for_statuses(&bed, &["migrate stopped", "api online", "more online"]);
    assert_eq!(socket(&bed), there, "there is no second one");
    bed.command(&["healthcheck"]).ok();

    // Several, none of which is the default one: one has to be named.
    let second = bed.isolated(&["./api.sh"]).start();
    second.wait_for_err("is online");
    for args in [&["start", "./api.sh", "--name", "x"][..], &["reload", "ecosystem.toml"], &["start", "more"]]
    {
        let said = bed.command(args).fails(69, "2 supervisors are running");
        assert!(said.contains(&format!("--socket {}", there.display())), "{said}");
    }
    bed.command(&["start", "./api.sh", "--name", "x", "--socket", there.to_str().unwrap()]).ok();
    run.wait_for_err("x (3) is online");
}

#[test]
fn a_start_in_the_background_prints_pid_home_and_log() {
    let bed = bed(FILE);
    let started = |args: &[&str]| done_with(&bed, &[], args);
    let first = started(&["start", "./api.sh"]);
    let pid = bed.command(&["ping", "--json"]).json()["pid"].clone();
    let home = bed.path("home");
    first.wait_for_line(&format!("started procrun in the background: pid {pid}, home {}", home.display()));
    let said = first.wait_for_line("logs of apps:");
    for path in said.split([' ', ',']).filter(|word| word.starts_with('/')) {
        assert!(Path::new(path).exists(), "{path}");
    }
    let second = started(&["start", "./api.sh", "--name", "more"]);
    assert_eq!(second.out().lines_with("in the background").len(), 0, "{}", second.story());
    bed.command(&["save"]).ok();
    bed.command(&["kill"]).ok();
    let third = started(&["resurrect"]);
    third.wait_for_line("started procrun in the background: pid");
    bed.command(&["kill"]).ok();
    let silent = started(&["start", "./api.sh", "--silent"]);
    assert_eq!(silent.out().lines(), [""; 0]);
}

/// Whether the lines of an answer are these, up to the table.
#[track_caller]
fn assert_plan(said: &str, lines: &[&str]) {
    let plan: Vec<&str> = said.lines().take_while(|line| !line.starts_with(['┌', '│'])).collect();
    assert_eq!(plan[..lines.len().min(plan.len())], *lines, "{said}");
}

#[test]
fn a_file_is_applied_by_a_command_and_shown_before_it_is() {
    let app =
        |name: &str, more: &str| format!("[[apps]]\nname = \"{name}\"\nscript = \"./api.sh\"\n{more}\n");
    let bed = bed(&[
        app("api", "env = { PORT = \"80\", API_TOKEN = \"hunter2\" }"),
        app("live", "max_memory_restart = \"100M\""),
        app("goes", "instances = 2"),
        app("same", ""),
    ]
    .concat());
    let run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.wait_for_err_lines("is online, pid", 5);
    let _added = done_with(&bed, &[], &["start", "./api.sh", "--name", "added"]);
    for args in [&["apply", "--dry-run"][..], &["apply"], &["reload"], &["apply", "ecosystem.toml"]] {
        assert_plan(&bed.command(args).ok(), &["no changes"]);
    }
    let pids = |names: &[&str]| names.iter().map(|name| pid(&bed, name)).collect::<Vec<_>>();
    let before = pids(&["api", "live", "same", "added"]);
    bed.file(
        "ecosystem.toml",
        [
            app("api", "env = { PORT = \"81\", API_TOKEN = \"hunter3\" }"),
            app("live", "max_memory_restart = \"200M\""),
            app("same", ""),
            app("new", "instances = 2"),
            app("added", "args = [\"x\"]"),
        ]
        .concat(),
    );
    let plan = [
        "goes: stop 2 processes",
        "api: restart 1 process",
        "  env.API_TOKEN: ******** -> ********",
        "  env.PORT: 80 -> 81",
        "live: applied live, no process restarts",
        "  max_memory_restart: 100M -> 200M",
        "new: start 2 processes",
        "added: restart 1 process",
    ];
    for args in
        [&["apply", "--dry-run"][..], &["reload", "--dry-run"], &["apply", "./ecosystem.toml", "--dry-run"]]
    {
        let said = bed.command(args).ok();
        assert!(!said.contains("hunter"), "{said}");
        assert_plan(&said, &plan);
    }
    let json = bed.command(&["apply", "--dry-run", "--json"]).json();
    assert_eq!((&json["dry_run"], &json["changes"][0]["action"]), (&true.into(), &"stop".into()));
    assert_eq!(json["changes"][1]["why"][1]["new"], "81");
    assert_eq!(pids(&["api", "live", "same", "added"]), before, "nothing was done");

    let said = bed.command(&["reload"]).ok();
    assert_plan(&said, &plan);
    assert_eq!(
        statuses(&bed),
        ["api online", "live online", "same online", "added online", "new online", "new online"],
        "it is done by then: {said}"
    );
    let after = pids(&["api", "live", "same", "added"]);
    let same: Vec<bool> = before.iter().zip(&after).map(|(one, other)| one == other).collect();
    assert_eq!(same, [false, true, true, false]);

    bed.file("ecosystem.toml", "[[apps]]\nnaem = 1\n");
    for args in [&["apply", "--dry-run"][..], &["apply"], &["reload"]] {
        let said = bed.command(args).fails(1, "naem");
        assert!(said.contains("nothing was changed"), "{said}");
    }
    bed.file("ecosystem.toml", [app("same", "interpreter = \"no-such-thing\"")].concat());
    bed.command(&["apply"]).fails(1, "no-such-thing");
    assert_eq!(pids(&["api", "live", "same", "added"]), after);
    bed.command(&["reload", "api", "--dry-run"]).fails(64, "`procrun apply [FILE] --dry-run`");
    bed.command(&["reload", "-i", "2"]).fails(64, "need the name of the app");
}

#[test]
fn a_file_that_the_supervisor_was_not_started_with_is_added_and_changes() {
    let bed = bed(&FILE.replace("${EXPORTED}", "x"));
    let run = bed.isolated(&["./api.sh"]).start();
    run.wait_for_err("is online, pid");
    bed.command(&["reload"]).fails(1, "was not started with an ecosystem file");
    let said = bed.command(&["apply", "ecosystem.toml", "--dry-run"]).ok();
    assert_plan(&said, &["migrate: start 1 process", "api: restart 1 process"]);
    assert_eq!(statuses(&bed), ["api online"]);
    let _applied = done_with(&bed, &[], &["apply", "ecosystem.toml"]);
    wait_for_statuses(&bed, &["api online", "migrate stopped"]);
    assert_plan(&bed.command(&["apply", "ecosystem.toml"]).ok(), &["no changes"]);
    bed.command(&["apply", "api.sh"]).fails(64, "is not an ecosystem file");
}

#[test]
fn included_files_are_read_again_by_a_command_and_by_sighup() {
    let bed = bed(
        "include = [\"conf.d/*.toml\"]\n[defaults]\nenv = { FROM = \"main\" }\n[[apps]]\nname = \"main\"\nscript = \"./api.sh\"\n",
    );
    let app = |name: &str| format!("[[apps]]\nname = \"{name}\"\ncwd = \"..\"\nscript = \"./api.sh\"\n");
    std::fs::create_dir(bed.path("conf.d")).unwrap();
    bed.file("conf.d/a.toml", app("a"));
    let run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.wait_for_err_lines("is online, pid", 2);
    let before = pid(&bed, "a");
    bed.file("conf.d/b.toml", app("b"));
    assert_plan(&bed.command(&["apply", "--dry-run"]).ok(), &["b: start 1 process"]);
    run.signal(SIGHUP);
    wait_for_statuses(&bed, &["main online", "a online", "b online"]);
    bed.file("conf.d/b.toml", app("a"));
    let said = bed
        .command(&["apply"])
        .fails(1, "conf.d/b.toml:2:8: app 1 has the same name as the app of conf.d/a.toml:2:8");
    assert!(said.contains("nothing was changed"), "{said}");
    std::fs::remove_file(bed.path("conf.d/b.toml")).unwrap();
    bed.file(
        "ecosystem.toml",
        std::fs::read_to_string(bed.path("ecosystem.toml")).unwrap().replace("main\" }", "new\" }"),
    );
    assert_plan(
        &bed.command(&["apply"]).ok(),
        &[
            "b: stop 1 process",
            "main: restart 1 process",
            "  env.FROM: main -> new",
            "a: restart 1 process",
            "  env.FROM: main -> new",
        ],
    );
    assert_ne!(pid(&bed, "a"), before);
}

#[test]
fn a_second_reload_of_an_app_waits_for_the_first() {
    let bed = bed(&FILE.replace("${EXPORTED}", "x"));
    let run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("api  x");
    let mut first = bed.isolated(&["reload", "api"]).start();
    first.wait_for_line("reloading api");
    // Between the end and the start there is no process.
    let mut during = String::new();
    wait_until("the process before or after the first reload", || {
        let said = bed.command(&["pid", "api"]);
        during = said.out;
        said.code == 0
    });
    let said = bed.command(&["reload", "api"]).ok();
    first.expect_code(0);
    assert_eq!(first.out().lines_with("api is reloaded").len(), 1, "{}", first.story());
    assert!(said.contains("api is being reloaded, another reload follows after that"), "{said}");
    assert_ne!(pid(&bed, "api"), during);
    run.wait_for_err_lines("api is reloaded", 2);
}
