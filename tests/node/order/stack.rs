//! `depends_on`, `oneshot` and the stop in reverse, with the real binary and real processes.

use std::time::Duration;

use crate::support::{Bed, End, Procrun, SIGHUP, SIGTERM, now, tool, wait_until, workers};
use serde_json::Value;

/// A database in Node that is ready when the file `go` is there; a migration; what serves after both.
const STACK: &str = r#"
[[apps]]
name = "api"
script = "./api.sh"
args = ["api"]
depends_on = ["db", "migrate"]

[[apps]]
name = "migrate"
script = "./migrate.sh"
oneshot = true
depends_on = ["db"]

[[apps]]
name = "db"
script = "db.js"
wait_ready = true
"#;

const DB: &str = r"
const fs = require('fs');
console.log('db up');
const look = setInterval(() => {
    if (fs.existsSync('go')) {
        clearInterval(look);
        console.log('db ready');
        process.send('ready');
    }
}, 20);
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => { console.log('db bye'); process.exit(0); });
setInterval(() => {}, 1000);
";

/// A bed with the stack, whose migration is this script.
fn stack(migrate: &str) -> Bed {
    let bed = Bed::with(STACK);
    bed.file("db.js", DB);
    bed.script("api.sh", workers::STEADY);
    bed.script("migrate.sh", format!("#!/bin/sh\n{migrate}\n"));
    bed
}

/// `NAME STATUS` of each instance, by `list`.
#[track_caller]
fn statuses(bed: &Bed) -> Vec<String> {
    let list: Value = serde_json::from_str(&bed.command(&["list", "--json"]).exits(0)).expect("JSON");
    let of = |one: &Value| format!("{} {}", one["name"].as_str().unwrap(), one["status"].as_str().unwrap());
    list["instances"].as_array().unwrap().iter().map(of).collect()
}

/// Where a line stands among those of stdout.
#[track_caller]
fn at(run: &Procrun, text: &str) -> usize {
    let lines = run.out().lines();
    lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text}{}", run.story()))
}

#[test]
fn each_starts_after_those_it_depends_on_and_stops_before_them() {
    for pid1 in [false, true] {
        let bed = stack("echo migrating; sleep 0.2; echo migrated");
        let mut run = bed.isolated(&["ecosystem.toml"]).pid1_if(pid1).start();
        run.wait_for_err("api (0) waits for db (ready), migrate (completed)");
        run.wait_for_line("db up");
        assert_eq!(statuses(&bed), ["api waiting", "migrate waiting", "db launching"]);
        let described = bed.command(&["describe", "api"]).exits(0);
        assert!(described.contains("db (ready), migrate (completed)"), "{described}");
        let jlist: Value = serde_json::from_str(&bed.command(&["jlist"]).exits(0)).expect("JSON");
        assert_eq!(jlist[0]["pm2_env"]["status"], "launching", "a word that PM2's clients know");
        let unhealthy = bed.command(&["healthcheck"]).exits(1);
        assert!(unhealthy.contains("api (0) is waiting"), "{unhealthy}");

        bed.file("go", "");
        run.wait_for_line("api up");
        assert!(at(&run, "db ready") < at(&run, "migrating") && at(&run, "migrated") < at(&run, "api up"));
        assert_eq!(statuses(&bed), ["api online", "migrate stopped", "db online"]);
        bed.command(&["healthcheck"]).exits(0);
        bed.command(&["healthcheck", "migrate"]).exits(0);
        assert!(bed.command(&["describe", "migrate"]).exits(0).contains("completed"));

        run.expect_stop();
        assert!(at(&run, "api bye TERM") < at(&run, "db bye"), "{}", run.story());
    }
}

#[test]
fn a_migration_that_fails_ends_the_container_with_its_code() {
    let bed = stack("exit 3");
    bed.file("go", "");
    bed.file(
        "ecosystem.toml",
        STACK.replace("oneshot = true", "oneshot = true\nmax_restarts = 2\ncritical = true"),
    );
    let mut run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.expect_code(3);
    run.wait_for_err("migrate (1) has exited: stopping all apps, exit code");
    assert_eq!(run.out().lines_with("api up").len(), 0, "{}", run.story());
    assert_eq!(run.out().lines_with("db bye").len(), 1, "stopped in order{}", run.story());
}

#[test]
fn an_app_that_waits_for_a_failed_task_is_reported_once_and_starts_after_the_task() {
    let bed = stack("[ -f fixed ] || exit 3; echo migrated");
    bed.file("go", "");
    bed.file("ecosystem.toml", STACK.replace("oneshot = true", "oneshot = true\nautorestart = false"));
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_err("api (0) is not started: migrate (1) is errored");
    assert_eq!(statuses(&bed), ["api stopped", "migrate errored", "db online"]);
    let said = bed.command(&["restart", "api"]).exits(1);
    assert!(said.contains("api (0) is not started: migrate (1) is errored"), "{said}");
    bed.file("fixed", "");
    bed.command(&["start", "api"]).exits(0);
    run.wait_for_line("api up");
    assert_eq!(statuses(&bed), ["api online", "migrate stopped", "db online"]);
    run.expect_stop();
}

#[test]
fn a_task_that_is_done_runs_again_only_for_its_name_or_a_new_spec() {
    let bed = stack("echo migrated as $VERSION");
    bed.file("go", "");
    let with = |version: &str| {
        STACK.replace("oneshot = true", &format!("oneshot = true\nenv = {{ VERSION = \"{version}\" }}"))
    };
    bed.file("ecosystem.toml", with("one"));
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("api up");
    bed.command(&["restart", "all"]).exits(0);
    run.wait_for_lines("api up", 2);
    assert_eq!(run.out().lines_with("migrated").len(), 1, "{}", run.story());
    bed.command(&["restart", "migrate"]).exits(0);
    run.wait_for_lines("migrated as one", 2);
    bed.file("ecosystem.toml", with("two"));
    run.signal(SIGHUP);
    run.wait_for_line("migrated as two");
    // Nothing else has changed, and a new order changes no process.
    bed.file("ecosystem.toml", with("two").replace("[\"db\", \"migrate\"]", "[\"migrate\"]"));
    run.signal(SIGHUP);
    run.wait_for_err("api: changed depends_on");
    wait_until("the api to be as it was", || {
        bed.command(&["describe", "api"]).exits(0).contains("migrate (completed)")
    });
    run.expect_stop();
    assert_eq!(run.out().lines_with("migrated").len(), 3, "{}", run.story());
    assert_eq!(run.out().lines_with("api up").len(), 2, "{}", run.story());
}

#[test]
fn new_apps_of_a_file_start_in_order_and_one_that_is_needed_cannot_go() {
    let bed = stack("echo migrated");
    bed.file("ecosystem.toml", "[[apps]]\nname = \"first\"\nscript = \"./api.sh\"\nargs = [\"first\"]\n");
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("first up");
    bed.file("go", "");
    bed.file("ecosystem.toml", STACK);
    run.signal(SIGHUP);
    run.wait_for_line("api up");
    assert!(at(&run, "db ready") < at(&run, "migrated") && at(&run, "migrated") < at(&run, "api up"));
    let (others, _) = STACK.split_once("[[apps]]\nname = \"db\"").expect("the database comes last");
    bed.file("ecosystem.toml", others);
    run.signal(SIGHUP);
    run.wait_for_err("names `db`, but there is no app with this name");
    run.wait_for_err("nothing was changed");
    run.expect_stop();
    assert_eq!(run.out().lines_with("db up").len(), 1, "{}", run.story());
}

#[test]
fn a_start_in_the_background_waits_for_all_and_resurrect_keeps_the_order() {
    let bed = stack("sleep 0.2; echo migrated >> log");
    bed.file("go", "");
    // While they live, so does what they have started in the background.
    let mut run = bed.isolated(&["start", "ecosystem.toml"]).start();
    run.expect_code(0);
    let started = run.out().lines().join("\n");
    assert!(started.contains("api (0) waits for"), "{started}");
    assert_eq!(statuses(&bed), ["api online", "migrate stopped", "db online"]);
    // Once more starts no finished task.
    bed.command(&["start", "ecosystem.toml"]).exits(0);
    assert_eq!(bed.read("log"), "migrated\n");
    bed.command(&["save"]).exits(0);
    bed.command(&["kill"]).exits(0);
    let mut again = bed.isolated(&["resurrect"]).start();
    again.expect_code(0);
    wait_until("all to be there again", || {
        let mut statuses = statuses(&bed);
        statuses.sort();
        statuses == ["api online", "db online", "migrate stopped"]
    });
    bed.command(&["kill"]).exits(0);
}

/// Three stages, of which the second one does not listen: `PROCRUN_GRACE_SECONDS` is all the time there
/// is, and the last stage still gets its signal.
#[test]
fn the_last_stage_gets_its_signal_within_the_grace_time() {
    let bed = Bed::with(
        r#"
        [[apps]]
        name = "api"
        script = "./steady.sh"
        args = ["api"]
        kill_timeout = "60s"
        depends_on = ["cache"]
        [[apps]]
        name = "cache"
        script = "./stubborn.py"
        kill_timeout = "60s"
        depends_on = ["db"]
        [[apps]]
        name = "db"
        script = "./steady.sh"
        args = ["db"]
        kill_timeout = "60s"
        "#,
    );
    bed.script("steady.sh", workers::STEADY);
    bed.script("stubborn.py", workers::STUBBORN);
    let mut run = bed.isolated(&["ecosystem.toml"]).env("PROCRUN_GRACE_SECONDS", "10").pid1().start();
    for line in ["api up", "1|cache | up", "db up"] {
        run.wait_for_line(line);
    }
    let begun = now();
    run.expect_stop();
    let took = begun.elapsed();
    // Half of the 9 s are left for the last one, which needs none of them.
    assert!(took > Duration::from_secs(4), "the stubborn one had its part{}", run.story());
    assert!(at(&run, "api bye TERM") < at(&run, "got 15") && at(&run, "got 15") < at(&run, "db bye TERM"));
    run.wait_for_err("cache (1) is still running after 4.");
}

#[test]
fn before_a_stop_everything_serves_on_and_nothing_is_ready() {
    let bed = Bed::with(
        "shutdown_timeout = \"10m\"\npre_stop_delay = \"4m\"\n[[apps]]\nname = \"web\"\nscript = \"./web.sh\"\nargs = [\"web\"]\n",
    );
    bed.script("web.sh", workers::STEADY);
    let mut run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.wait_for_line("web up");
    bed.command(&["healthcheck"]).exits(0);
    assert!(!bed.command(&["list"]).exits(0).contains("no app is ready"));
    run.signal(SIGTERM);
    run.wait_for_err("they keep serving for 4 min");
    let asked = now();
    let said = bed.command(&["healthcheck"]).exits(1);
    assert!(said.contains("no app is ready"), "{said}");
    assert!(bed.command(&["list"]).exits(0).contains("no app is ready"));
    let described = bed.command(&["describe", "web"]).exits(0);
    assert!(described.contains("online, not ready"), "{described}");
    assert_eq!(run.out().lines_with("web bye").len(), 0, "it keeps serving{}", run.story());
    // A second signal so soon would be the same Ctrl-C.
    wait_until("a second signal to be another one", || asked.elapsed() > Duration::from_millis(600));
    run.signal(SIGTERM);
    assert_eq!(run.wait_end(), End::Code(0), "{}", run.story());
    assert_eq!(run.out().lines_with("web bye TERM").len(), 1, "{}", run.story());
}

/// A real database that is there late, a migration that waits for its health, and who serves with it to
/// its own last moment.
#[test]
fn redis_starts_first_and_stops_last() {
    let bed = Bed::with(
        r#"
        [[apps]]
        name = "api"
        script = "./api.sh"
        depends_on = ["migrate"]
        [[apps]]
        name = "migrate"
        script = "./migrate.sh"
        oneshot = true
        autorestart = false
        depends_on = ["redis"]
        [[apps]]
        name = "redis"
        script = "./late.sh"
        [apps.health]
        exec = "redis-cli -s redis.sock ping | grep -q PONG"
        interval = "100ms"
        start_period = "10m"
        "#,
    );
    // Debian's server is this very program; by this name it serves.
    let server = tool("sh", &["-c", "command -v redis-check-rdb"], bed.root()).stdout;
    let server = String::from_utf8_lossy(&server).trim().to_owned();
    std::os::unix::fs::symlink(server, bed.path("redis-server")).expect("our own directory");
    bed.script(
        "late.sh",
        "#!/bin/sh\nuntil [ -f go ]; do sleep 0.02; done\n\
         exec ./redis-server --port 0 --unixsocket redis.sock --save '' --appendonly no\n",
    );
    bed.script("migrate.sh", "#!/bin/sh\n[ \"$(redis-cli -s redis.sock set schema 2)\" = OK ]\n");
    bed.script(
        "api.sh",
        "#!/bin/sh\nask() { redis-cli -s redis.sock \"$@\"; }\n\
         trap 'sleep 0.5; echo \"api leaves $(ask get schema)\"; exit 0' TERM\n\
         echo \"api serves $(ask get schema)\"\nwhile :; do sleep 1000 & wait $!; done\n",
    );
    let mut run = bed.isolated(&["ecosystem.toml"]).pid1().start();
    run.wait_for_err("migrate (1) waits for redis (healthy)");
    wait_until("a check to fail", || bed.command(&["describe", "redis"]).exits(0).contains("problem"));
    assert_eq!(statuses(&bed), ["api waiting", "migrate waiting", "redis online"]);
    bed.file("go", "");
    run.wait_for_line("api serves 2");
    run.expect_stop();
    assert_eq!(run.out().lines_with("api leaves 2").len(), 1, "{}", run.story());
    assert!(at(&run, "api leaves 2") < at(&run, "User requested shutdown"), "{}", run.story());
}
