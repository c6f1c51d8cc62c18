//! Why the processes ended, and what else `list` and `jlist` say of an app.

use serde_json::Value;

use super::supervisor;
use crate::support::{Bed, SIGHUP, SIGKILL, send, tool, wait_until};

const APPS: &str = r#"
[[apps]]
name = "api"
script = "exec sleep 1000"
watch = ["watched"]
watch_delay = 50

[[apps]]
name = "code"
script = "exit 3"
autorestart = false

[[apps]]
name = "broken"
script = "./missing-later.sh"

[[apps]]
name = "timed"
script = "exec sleep 1000"
cron_restart = "* * * * * *"
"#;

fn one(bed: &Bed, command: &[&str], name: &str) -> Value {
    let all = bed.command(command).json();
    let all = all.get("instances").unwrap_or(&all).as_array().unwrap().clone();
    let is_it = |one: &Value| one["name"] == *name || one["brief"]["name"] == *name;
    all.into_iter().find(is_it).unwrap_or_else(|| panic!("no {name}"))
}

/// Wait until the last process of the app has ended so, and for this reason in all that shows it.
#[track_caller]
fn ended(bed: &Bed, name: &str, last_exit: &str, reason: &str, text: &str) {
    wait_until(&format!("{name} to have ended by {last_exit}"), || {
        one(bed, &["list", "--json"], name)["last_exit"] == *last_exit
    });
    if name == "timed" {
        return;
    }
    let exits = one(bed, &["describe", name, "--json"], name)["exits"].clone();
    let exit = exits.as_array().unwrap().last().unwrap();
    assert_eq!(exit["reason"], reason, "{exits}");
    assert!(exit["text"].as_str().unwrap().contains(text), "{exits}");
    assert_eq!(one(bed, &["jlist"], name)["pm2_env"]["exit_reason"], reason);
}

#[test]
fn every_end_shows_its_reason() {
    let bed = Bed::with(APPS);
    bed.script("missing-later.sh", "#!/bin/sh\nexec sleep 1000\n");
    bed.file("watched/file.js", "1");
    let run = bed.isolated(&["ecosystem.toml", "--json"]).start();
    run.wait_for_err_lines("is online, pid", 4);
    let pid = || bed.command(&["pid", "api"]).ok().trim().parse::<i32>().unwrap();

    ended(&bed, "code", "exit 3", "exit", "code 3");
    ended(&bed, "timed", "cron", "cron", "cron_restart");
    bed.file("watched/file.js", "2");
    ended(&bed, "api", "watch", "watch", "(watch: watched/file.js changed)");
    bed.command(&["restart", "api"]).ok();
    ended(&bed, "api", "command", "command", "(command: restart)");
    send(pid(), SIGKILL);
    ended(&bed, "api", "SIGKILL", "signal", "signal SIGKILL");
    bed.command(&["reload", "api"]).ok();
    ended(&bed, "api", "command", "command", "(command: reload)");
    bed.command(&["scale", "api", "2"]).ok();
    bed.command(&["stop", "api"]).ok();
    ended(&bed, "api", "command", "command", "(command: stop)");
    bed.command(&["start", "api"]).ok();

    std::fs::remove_file(bed.path("missing-later.sh")).unwrap();
    bed.command(&["restart", "broken"]);
    ended(&bed, "broken", "spawn-failed", "spawn-failed", "missing-later.sh");

    bed.file("ecosystem.toml", APPS.replace("exec sleep 1000\"\nwatch =", "exec sleep 1001\"\nwatch ="));
    run.signal(SIGHUP);
    ended(&bed, "api", "config", "config", "(changed configuration)");

    let has = |reason: &str, text: &str| {
        run.err().lines().iter().any(|line| {
            let record: Value = serde_json::from_str(line).unwrap_or_default();
            let message = record["message"].as_str().unwrap_or_default();
            record["reason"] == *reason
                && (message.contains("exited: ") || message.contains("could not start: "))
                && message.contains(text)
        })
    };
    for (reason, text) in [
        ("exit", "code (1) exited: code 3"),
        ("cron", "timed (3) exited: "),
        ("watch", "(watch: watched/file.js changed)"),
        ("command", "(command: restart)"),
        ("command", "(command: stop)"),
        ("signal", "signal SIGKILL"),
        ("spawn-failed", "broken (2) could not start: "),
        ("config", "(changed configuration)"),
    ] {
        assert!(has(reason, text), "no {reason} with {text}{}", run.story());
    }
}

#[test]
fn list_and_jlist_show_version_user_watching_and_node_env() {
    let bed = Bed::with(
        "[[apps]]\nname = \"web\"\nscript = \"web.js\"\nwatch = [\"src\"]\ncron_restart = \"0 3 * * *\"\n\
         env_production = { NODE_ENV = \"production\" }\nautostart = true\n",
    );
    bed.file("package.json", r#"{"name": "web", "version": "4.5.6"}"#);
    bed.file("web.js", "setInterval(() => {}, 1000)");
    bed.file("src/a.js", "");
    let run = bed.isolated(&["ecosystem.toml", "--env", "production"]).start();
    run.wait_for_err("is online, pid");
    let user = String::from_utf8(tool("id", &["-un"], bed.root()).stdout).unwrap();
    let list = one(&bed, &["list", "--json"], "web");
    assert_eq!((&list["version"], &list["watching"]), (&"4.5.6".into(), &true.into()), "{list}");
    assert_eq!(list["user"], user.trim());
    let table = bed.command(&["list"]).ok();
    for cell in ["│ version │", "│ 4.5.6 ", "│ user ", "│ watching │", "│ enabled  │", "│ last exit │"]
    {
        assert!(table.contains(cell), "no {cell} in {table}");
    }
    let jlist = one(&bed, &["jlist"], "web")["pm2_env"].clone();
    for (key, value) in [("version", "4.5.6"), ("NODE_ENV", "production"), ("username", user.trim())] {
        assert_eq!(jlist[key], value, "{key}");
    }
    assert!(jlist["next_cron"].is_u64() && jlist["autostart"] == true && jlist["watch"] == true, "{jlist}");
    let described = bed.command(&["describe", "web"]).ok();
    for line in [
        "version             4.5.6",
        "NODE_ENV            production",
        "watching            enabled",
        "next run",
        "created at",
        "script path",
    ] {
        assert!(described.contains(line), "no {line:?} in {described}");
    }
}

#[test]
fn the_list_fits_a_terminal_of_80_columns() {
    let bed = Bed::with(super::APPS);
    let _run = supervisor(&bed, false, 3);
    let command = "stty cols 80 rows 24";
    let mut list = bed.isolated(&["list"]).terminal().env("NO_COLOR", "1").after(command).start();
    // What a terminal has got may be read after the end of the command.
    list.wait_for_line("└");
    list.expect_code(0);
    let lines = list.out().lines();
    assert!(lines.iter().all(|line| line.trim_end().chars().count() <= 80), "{lines:?}");
    for heading in ["id", "name", "pid", "uptime", "status", "cpu", "memory"] {
        assert!(lines[1].contains(&format!(" {heading} ")), "no {heading}: {lines:?}");
    }
}
