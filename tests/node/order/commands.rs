//! `depends_on` in what commands bring and take: `--only`, dependency cycles, what is not there, and what is kept.

use std::time::Duration;

use crate::support::{Bed, SIGHUP, SIGTERM, now, wait_until, workers};

/// `api` after `db`, both as quick as can be.
const PAIR: &str = r#"
[[apps]]
name = "api"
script = "./steady.sh"
args = ["api"]
depends_on = ["db"]

[[apps]]
name = "db"
script = "./steady.sh"
args = ["db"]
"#;

/// A bed with the pair.
fn pair() -> Bed {
    let bed = Bed::with(PAIR);
    bed.script("steady.sh", workers::STEADY);
    bed
}

/// What an application waits for, as `describe` says it.
#[track_caller]
fn depends_on(bed: &Bed, app: &str) -> String {
    let described = bed.command(&["describe", app]).exits(0);
    let line = described.lines().find(|line| line.contains("depends_on")).unwrap_or_default();
    line.to_owned()
}

#[test]
fn one_app_of_a_file_still_waits_for_its_dependencies_that_run() {
    let bed = pair();
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("api up");
    let said = bed.command(&["restart", "ecosystem.toml", "--only", "api"]).exits(0);
    assert!(said.contains("it waits for it only if that is in the list already"), "{said}");
    run.wait_for_lines("api up", 2);
    assert!(
        depends_on(&bed, "api").contains("db (started)"),
        "{}",
        bed.command(&["describe", "api"]).exits(0)
    );
    run.expect_stop();
    let lines = run.out().lines();
    let at = |text: &str| lines.iter().rposition(|line| line.contains(text)).expect(text);
    assert!(at("api bye") < at("db bye"), "stopped in reverse{}", run.story());
}

#[test]
fn a_dependency_cycle_that_a_command_would_make_is_refused_and_shown() {
    let bed = pair();
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("api up");
    bed.file(
        "other.toml",
        PAIR.replace("depends_on = [\"db\"]", "").replace("args = [\"db\"]", "depends_on = [\"api\"]"),
    );
    let said = bed.command(&["restart", "other.toml", "--only", "db"]).exits(1);
    assert!(said.contains("`depends_on` makes a dependency cycle: api → db → api"), "{said}");
    run.expect_stop();
    assert_eq!(run.out().lines_with("db up").len(), 1, "nothing was touched{}", run.story());
}

#[test]
fn what_a_command_changes_stays_what_others_wait_for() {
    let bed = pair();
    let task = PAIR
        .replace("args = [\"db\"]", "args = [\"db\"]\noneshot = true")
        .replace("./steady.sh\"\nargs = [\"db\"]", "./task.sh\"");
    bed.file("ecosystem.toml", task);
    bed.script("task.sh", "#!/bin/sh\necho task done\n");
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("api up");
    bed.file("other.toml", PAIR);
    let said = bed.command(&["restart", "other.toml", "--only", "db"]).exits(1);
    assert!(
        said.contains("app `api` waits until `db` is completed, which it could never be"),
        "{said}{}",
        run.story()
    );
    run.expect_stop();
    assert_eq!(run.out().lines_with("db up").len(), 0, "nothing was touched{}", run.story());
}

#[test]
fn a_deleted_app_does_not_prevent_others_from_starting() {
    let bed = pair();
    let mut run = bed.isolated(&["start", "ecosystem.toml"]).start();
    run.expect_code(0);
    bed.command(&["delete", "db"]).exits(0);
    bed.command(&["save"]).exits(0);
    bed.command(&["kill"]).exits(0);
    let mut again = bed.isolated(&["resurrect"]).start();
    again.expect_code(0);
    wait_until("the one that was saved to be online", || bed.command(&["list"]).exits(0).contains("online"));
    bed.command(&["kill"]).exits(0);
}

#[test]
fn no_file_is_read_again_during_a_stop() {
    let bed = Bed::with(&format!("shutdown_timeout = \"20m\"\npre_stop_delay = \"10m\"\n{PAIR}"));
    bed.script("steady.sh", workers::STEADY);
    let mut run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.wait_for_line("api up");
    run.signal(SIGTERM);
    run.wait_for_err("they keep serving for 10 min");
    bed.file("ecosystem.toml", PAIR.replace("\"api\"", "\"new\""));
    run.signal(SIGHUP);
    run.wait_for_err("procrun is stopping, the ecosystem file is not read again");
    let asked = now();
    wait_until("a second wish to be another one", || asked.elapsed() > Duration::from_millis(600));
    bed.command(&["kill"]).exits(0);
    run.expect_code(0);
    assert_eq!(run.err().lines_with("added").len(), 0, "{}", run.story());
}

#[test]
fn a_file_cannot_drop_what_a_command_has_made_others_need() {
    let bed = pair();
    let (_, db) = PAIR.split_once("[\"db\"]").expect("the database comes last");
    bed.file("ecosystem.toml", format!("{db}[[apps]]\nname = \"other\"\nscript = \"./steady.sh\"\n"));
    bed.file("all.toml", PAIR);
    // Or the command would go to one in the background.
    let mut run = bed.isolated(&["--socket", "here", "ecosystem.toml"]).start();
    run.wait_for_line("db up");
    bed.command(&["start", "all.toml", "--only", "api", "--socket", "here"]).exits(0);
    bed.file("ecosystem.toml", "[[apps]]\nname = \"other\"\nscript = \"./steady.sh\"\n");
    run.signal(SIGHUP);
    run.wait_for_err("app `api`, which a command has added, depends on `db`, which has left the file");
    run.wait_for_err("nothing was changed");
    // What a command deletes keeps no file from being read.
    bed.command(&["delete", "db", "--socket", "here"]).exits(0);
    run.signal(SIGHUP);
    run.wait_for_err("no app has changed");
    run.expect_stop();
}
