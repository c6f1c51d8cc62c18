//! What is changed while it runs: by files, by the options of a start, and what is kept of it.

use serde_json::Value;

use super::{statuses, supervisor};
use crate::support::{Bed, Procrun, procfs, wait_until, workers};

/// Says what it was given and stays.
const APP: &str = "#!/bin/sh\necho \"given $GIVEN $*\"\nexec sleep 1000\n";

fn bed() -> Bed {
    let bed = Bed::new();
    bed.script("app.sh", APP);
    bed
}

/// A command that is done. While this lives, so does what has its environment.
#[track_caller]
fn done(bed: &Bed, args: &[&str]) -> Procrun {
    let mut run = bed.isolated(args).env("GIVEN", "first").start();
    run.expect_code(0);
    run
}

#[track_caller]
fn start(bed: &Bed, args: &[&str]) -> Procrun {
    done(bed, &[&["start"], args].concat())
}

/// An ecosystem file of two apps that have two environments.
fn file(bed: &Bed, more: &str) {
    let app = |name: &str| {
        format!(
            "[[apps]]\nname = \"{name}\"\nscript = \"./app.sh\"\nenv = {{ GIVEN = \"file\" }}\n\
             env_production = {{ GIVEN = \"production\" }}\n"
        )
    };
    bed.file("ecosystem.toml", format!("{}{}{more}", app("one"), app("two")));
}

fn details(bed: &Bed, name: &str) -> Value {
    bed.command(&["describe", name, "--json"]).json()[0].clone()
}

/// The process ids of an app.
fn pids(bed: &Bed, name: &str) -> Vec<String> {
    bed.command(&["pid", name]).out.lines().map(str::to_owned).collect()
}

#[test]
fn a_file_stands_for_its_apps_whatever_is_done_to_them() {
    let bed = bed();
    file(&bed, "");
    // Nothing named: the file that is here.
    let _run = start(&bed, &[]);
    let _other = start(&bed, &["./app.sh", "--name", "other"]);
    assert_eq!(statuses(&bed), ["one online", "two online", "other online"]);
    let given = |name: &str| {
        let env = bed.command(&["env", name, "--json"]).json();
        env["GIVEN"].as_str().map(str::to_owned).unwrap_or_default()
    };
    let before = (pids(&bed, "one"), pids(&bed, "two"), pids(&bed, "other"));

    let _production = done(&bed, &["restart", "ecosystem.toml", "--env", "production", "--only", "one"]);
    assert_eq!((given("one"), given("two")), ("production".to_owned(), "file".to_owned()));
    assert_ne!(pids(&bed, "one"), before.0);
    assert_eq!((pids(&bed, "two"), pids(&bed, "other")), (before.1.clone(), before.2.clone()));
    let reload = done(&bed, &["reload", "./ecosystem.toml"]);
    assert_eq!(reload.out().lines_with("is reloaded").len(), 2, "{}", reload.story());
    assert_eq!(given("one"), "file");
    assert_ne!(pids(&bed, "two"), before.1, "also what has not changed");

    bed.command(&["stop", "ecosystem.toml", "--only", "one,two"]).ok();
    assert_eq!(statuses(&bed), ["one stopped", "two stopped", "other online"]);
    let _restart = done(&bed, &["startOrRestart", "ecosystem.toml"]);
    assert_eq!(statuses(&bed), ["one online", "two online", "other online"]);
    bed.command(&["delete", "ecosystem.toml", "--only", "one"]).ok();
    assert_eq!(statuses(&bed), ["two online", "other online"]);
    let said = bed.command(&["delete", "ecosystem.toml", "other"]);
    assert!(said.err.contains("`one` of ecosystem.toml is not in the list"), "{said:?}");
    said.ok();
    assert_eq!(statuses(&bed), [""; 0]);
    bed.command(&["delete", "ecosystem.toml"]).ok();
    let _reload = done(&bed, &["startOrReload", "ecosystem.toml"]);
    assert_eq!(statuses(&bed), ["one online", "two online"], "what is not there is started");
    bed.command(&["restart", "one", "--env", "production"]).fails(64, "an ecosystem file");
    bed.file("ecosystem.toml", "[[apps]]\nnaem = 1\n");
    bed.command(&["restart", "ecosystem.toml"]).fails(78, "naem");
    assert_eq!(statuses(&bed), ["one online", "two online"]);
}

#[test]
fn a_file_is_for_the_supervisor_that_runs_its_apps() {
    let bed = bed();
    file(&bed, "");
    let run = supervisor(&bed, false, 2);
    file(&bed, "[[apps]]\nname = \"three\"\nscript = \"./app.sh\"\n");
    let _reload = done(&bed, &["reload", "ecosystem.toml"]);
    assert_eq!(statuses(&bed), ["one online", "two online", "three online"]);
    run.wait_for_err("three (2) is online");
}

#[test]
fn the_options_of_a_start_change_an_existing_app() {
    let bed = bed();
    let _run = start(&bed, &["./app.sh", "--", "old"]);
    let before = pids(&bed, "app");
    bed.command(&["restart", "app", "-i", "2", "--kill-timeout", "3s", "--", "new"]).ok();
    assert_eq!(statuses(&bed), ["app online", "app online"]);
    let detail = details(&bed, "app");
    assert_eq!((&detail["kill_timeout"], &detail["args"][0]), (&3000.into(), &"new".into()));
    assert!(!pids(&bed, "app").contains(&before[0]));
    let done = bed.command(&["scale", "app", "+1", "--json"]).json();
    assert_eq!(done.as_array().map(Vec::len), Some(3), "also those that it adds: {done}");
    bed.command(&["restart", "app", "-i", "2"]).ok();
    assert_eq!(statuses(&bed).len(), 2, "what is said counts more than what it was scaled to");

    // As in PM2: a start with something new restarts what runs.
    let before = pids(&bed, "app");
    bed.command(&["start", "app"]).ok();
    assert_eq!(pids(&bed, "app"), before);
    bed.command(&["start", "app", "--max-restarts", "3"]).ok();
    assert_eq!(details(&bed, "app")["max_restarts"], 3);
    assert!(pids(&bed, "app").iter().all(|pid| !before.contains(pid)));
    let said = bed.command(&["reload", "app", "--max-restarts", "4"]).ok();
    assert!(said.contains("app is reloaded: 2 processes"), "{said}");
    assert_eq!(details(&bed, "app")["args"][0], "new", "what was not said stays");

    for (args, why) in [
        (&["--no-autostart"][..], "`--no-autostart` cannot change an existing app"),
        (&["--raw"], "`--raw` is a setting of procrun itself"),
        (&["--kill-timeout", "soon"], "`--kill-timeout`"),
        (&["--no-such-thing"], "--no-such-thing"),
        (&["--only", "app"], "`--only` selects apps of an ecosystem file"),
    ] {
        let before = pids(&bed, "app");
        bed.command(&[&["restart", "app"], args].concat()).fails(64, why);
        assert_eq!(pids(&bed, "app"), before, "{args:?}");
    }
    bed.command(&["restart", "app", "--interpreter", "no-such-thing"]).fails(1, "no-such-thing");
    assert_eq!(statuses(&bed), ["app online", "app online"]);
    let said = bed.command(&["restart", "app", "--no-vizion", "--parallel", "2"]);
    assert!(said.err.contains("vizion") && said.err.contains("`--parallel`"), "{said:?}");
    said.ok();
}

#[test]
fn a_node_script_that_gets_more_instances_becomes_a_cluster() {
    let bed = Bed::new();
    bed.file(
        "web.js",
        "require('http').createServer(() => {}).listen('./web.sock', () => console.log('up'));\n",
    );
    let _run = start(&bed, &["web.js"]);
    let mode = || bed.command(&["ls", "--json"]).json()["instances"][0]["mode"].clone();
    assert_eq!(mode(), "fork");
    bed.command(&["restart", "web", "-i", "2"]).ok();
    wait_until("both to listen", || bed.read("home/logs/web-out-1.log") == "up\n");
    assert_eq!(mode(), "cluster");
    assert_eq!(statuses(&bed), ["web online", "web online"]);
}

#[test]
fn a_new_environment_of_a_cluster_is_answered_when_its_reload_is_over() {
    let bed = Bed::new();
    bed.file(
        "web.js",
        "if (process.env.GIVEN === 'broken') process.exit(3);\n\
         require('http').createServer(() => {}).listen('./web.sock');\n",
    );
    let _run = start(&bed, &["web.js", "-i", "2"]);
    let signs = |bed: &Bed| {
        let all = bed.command(&["describe", "web", "--json"]).json();
        all.as_array().unwrap().iter().filter(|one| one["ready_signals"][0] == "listening").count()
    };
    wait_until("both to listen", || signs(&bed) == 2);
    let given = |by: &str, word: &str| bed.isolated(&[word, "web", "--update-env"]).env("GIVEN", by).start();
    let mut kept = Vec::new();
    for (word, by) in [("restart", "second"), ("reload", "third")] {
        let before = pids(&bed, "web");
        let mut run = given(by, word);
        run.expect_code(0);
        run.wait_for_line("web is reloaded: 2 processes");
        kept.push(run);
        let after = pids(&bed, "web");
        assert!(after.len() == 2 && after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
        assert!(before.iter().all(|pid| !procfs::alive(pid.parse().unwrap())), "they are gone by then");
    }
    let before = pids(&bed, "web");
    given("broken", "restart").output().fails(1, "the old version keeps serving");
    assert_eq!(pids(&bed, "web"), before);
    assert!(bed.command(&["env", "web"]).ok().contains("GIVEN=third\n"));
}

#[test]
fn several_targets_and_a_script_that_has_ended_can_be_started() {
    let bed = bed();
    bed.script("more.sh", APP);
    let _run = start(&bed, &["./app.sh", "more.sh"]);
    assert_eq!(statuses(&bed), ["app online", "more online"]);
    bed.command(&["start", "app.sh"]).fails(1, "app `app` already exists");
    bed.command(&["stop", "app"]).ok();
    let _again = start(&bed, &["app.sh", "more"]);
    assert_eq!(statuses(&bed), ["app online", "more online"]);
    bed.command(&["stop", "app"]).ok();
    bed.script("other/app.sh", APP);
    bed.command(&["start", "other/app.sh"]).fails(1, "app `app` already exists");
    bed.command(&["start", "more.sh", "8080"]).fails(64, "write arguments for the app after `--`");
    bed.command(&["start", "more", "nobody"]).fails(1, "nobody");
    assert_eq!(statuses(&bed), ["app stopped", "more online"]);
}

#[test]
fn a_list_is_sorted_as_requested() {
    let bed = bed();
    let _runs = ["b", "a", "c"].map(|name| start(&bed, &["./app.sh", "--name", name]));
    bed.command(&["stop", "a"]).ok();
    let names = |by: &str| -> Vec<String> {
        let list = bed.command(&["ls", "--sort", by, "--json"]).json();
        let all = list["instances"].as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("name"), ["a", "b", "c"]);
    assert_eq!(names("name:desc"), ["c", "b", "a"]);
    assert_eq!(names("id:asc"), ["b", "a", "c"]);
    assert_eq!(names("status:desc"), ["a", "b", "c"]);
    assert_eq!(names("pid"), ["a", "b", "c"]);
    bed.command(&["list", "--sort", "colour"]).fails(64, "the columns are id, name, namespace");
    bed.command(&["list", "--sort", "name:up"]).fails(64, "`name:asc` or `name:desc`");
    let said = bed.command(&["ls", "-m"]).ok();
    assert!(said.contains("+--- a\n") && said.contains("status : stopped\n"), "{said}");
    // An id keeps its place in the list, also after a reload.
    bed.command(&["reload", "b"]).ok();
    assert_eq!(statuses(&bed), ["b online", "a stopped", "c online"]);
}

#[test]
fn an_app_scaled_to_0_or_without_autostart_is_restored_unchanged() {
    let bed = bed();
    let none = start(&bed, &["./app.sh", "--name", "none"]);
    let max = start(&bed, &["./app.sh", "--name", "max", "-i", "max"]);
    let idle = start(&bed, &["./app.sh", "--name", "idle", "--no-autostart"]);
    let runs = start(&bed, &["./app.sh", "--name", "runs", "--no-autostart"]);
    bed.command(&["start", "runs"]).ok();
    bed.command(&["scale", "none", "0"]).ok();
    bed.command(&["scale", "max", "5"]).ok();
    bed.command(&["save"]).ok();
    let mut kept = vec![none, max, idle, runs];
    for _ in 0..2 {
        bed.command(&["kill"]).ok();
        kept.push(done(&bed, &["resurrect"]));
        let expected: Vec<&str> = [["max online"; 5].as_slice(), &["idle stopped", "runs online"]].concat();
        let mut list = statuses(&bed);
        list.sort_by_key(|line| !line.starts_with("max"));
        assert_eq!(list, expected);
        // What comes back is kept as it was.
        bed.command(&["save"]).ok();
    }
    bed.command(&["scale", "none", "1"]).ok();
    assert!(statuses(&bed).contains(&"none online".to_owned()));
    bed.command(&["cleardump"]).ok();
    bed.command(&["resurrect"]).fails(1, "has no apps");
}

#[test]
fn what_is_saved_in_a_reload_is_what_it_leads_to() {
    let bed = Bed::new();
    bed.file(
        "web.js",
        "const serve = () => process.env.VERSION === 'one' || require('fs').existsSync('go')\n\
         ? require('http').createServer(() => {}).listen('./web.sock', () => console.log('serves'))\n\
         : setTimeout(serve, 10);\nserve();\n",
    );
    let file = |version: &str| {
        let env = format!("env = {{ VERSION = \"{version}\" }}");
        bed.file(
            "ecosystem.toml",
            format!("[[apps]]\nname = \"web\"\nscript = \"web.js\"\ninstances = 2\n{env}\n"),
        );
    };
    file("one");
    let _run = start(&bed, &["ecosystem.toml"]);
    let served = |id: u32| bed.read(&format!("home/logs/web-out-{id}.log"));
    wait_until("both to serve", || served(0) == "serves\n" && served(1) == "serves\n");
    file("two");
    let mut reload = bed.isolated(&["reload", "ecosystem.toml"]).start();
    reload.wait_for_line("the new web (0) is online");
    bed.command(&["save"]).ok();
    assert!(bed.read("home/dump.json").contains("\"VERSION\": \"two\""));
    bed.file("go", "");
    reload.expect_code(0);
}

/// How many directories the supervisor watches.
fn watched(pid: i32) -> usize {
    let infos = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("it lives").flatten();
    let text = infos.filter_map(|info| std::fs::read_to_string(info.path()).ok());
    text.map(|text| text.lines().filter(|line| line.starts_with("inotify wd:")).count()).sum()
}

#[test]
fn a_deleted_app_is_not_watched_any_more() {
    let bed = bed();
    bed.file("src/file", "");
    let _run = start(&bed, &["./app.sh", "--name", "stays"]);
    let _watching = start(&bed, &["./app.sh", "--watch=src"]);
    let pid = bed.command(&["ping", "--json"]).json()["pid"].as_i64().unwrap();
    let pid = i32::try_from(pid).unwrap();
    wait_until("its directories to be watched", || watched(pid) > 0);
    bed.command(&["delete", "app"]).ok();
    wait_until("nothing to be watched", || watched(pid) == 0);
    // And a process that is there can begin to.
    bed.command(&["restart", "stays", "--watch=src"]).ok();
    wait_until("its directories to be watched", || watched(pid) > 0);
    let before = pids(&bed, "stays");
    bed.file("src/file", "new");
    wait_until("another process", || !pids(&bed, "stays").is_empty() && pids(&bed, "stays") != before);
}

#[test]
fn a_new_file_replaces_several_processes_one_after_the_other() {
    let bed = Bed::new();
    bed.script("steady.sh", workers::STEADY);
    let file = |version: &str| {
        let app = "[[apps]]\nname = \"main\"\nscript = \"./steady.sh\"\ninstances = 3\nmin_uptime = 100\n";
        bed.file("ecosystem.toml", format!("{app}args = [\"{version}\"]\n"));
    };
    file("old");
    let run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_lines("old up", 3);
    file("new");
    run.signal(crate::support::SIGHUP);
    run.wait_for_err("main is reloaded: 3 processes");
    let lines: Vec<String> = run
        .err()
        .lines()
        .into_iter()
        .filter(|line| line.contains(": restarting,") || line.contains("is online"))
        .collect();
    let order: Vec<bool> = lines.iter().skip(3).map(|line| line.contains("is online")).collect();
    assert_eq!(order, [false, true, false, true, false, true], "{lines:?}");
}

#[test]
fn commands_of_pm2_alone_get_an_answer() {
    let bed = bed();
    for (word, answer) in [
        ("deploy", "procrun reload ecosystem.config.js"),
        ("startup", "procrun supervise"),
        ("module:install", "no modules"),
        ("profile:cpu", "--cpu-prof"),
        ("inspect", "procrun signal USR1 APP"),
    ] {
        let said = bed.command(&[word, "x", "y"]).fails(64, answer);
        assert!(said.contains(&format!("procrun does not have PM2's command `{word}`")), "{said}");
    }
    assert!(bed.command(&["reloadLogs"]).ok().contains("nothing to do"), "logrotate calls it");
}
