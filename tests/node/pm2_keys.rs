//! One file with every key that PM2 documents (tests/pm2), unchanged, and what each of them does.

use std::path::Path;

use crate::support::{Bed, End, Procrun, wait_for, wait_until, web};
use serde_json::Value;

/// The keys of PM2's schema that ask for PM2's own services.
const SERVICES: [&str; 16] = [
    "vizion",
    "pmx",
    "automation",
    "trace",
    "disable_trace",
    "v8",
    "event_loop_inspector",
    "deep_monitoring",
    "io",
    "post_update",
    "windowsHide",
    "kill_retry_time",
    "write",
    "username",
    "install_url",
    "execute_command",
];

/// PM2's example on a bed of its own, started with `--env production`.
fn start() -> (Bed, Procrun, u16) {
    let bed = Bed::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pm2");
    for file in ["ecosystem.config.js", "api.js", "batch.py", "flaky.sh"] {
        bed.file(file, std::fs::read(from.join(file)).unwrap());
    }
    bed.script("whoami.sh", std::fs::read(from.join("whoami.sh")).unwrap());
    for file in ["watched/version", "watched/ignored"] {
        bed.file(file, "1");
    }
    let port = web::free_port();
    let run = bed
        .isolated(&["ecosystem.config.js", "--env", "production"])
        .env("TEST_PORT", &port.to_string())
        .env("SECRET_KEY", "never shown")
        .start();
    (bed, run, port)
}

/// PM2's own shape of the list: the instances called so.
fn jlist(bed: &Bed, name: &str) -> Vec<Value> {
    let list = bed.command(&["jlist"]).json();
    list.as_array().unwrap().iter().filter(|one| one["name"] == name).cloned().collect()
}

fn status(bed: &Bed, name: &str) -> String {
    jlist(bed, name)[0]["pm2_env"]["status"].as_str().unwrap().to_owned()
}

/// What a worker of `api` says it was given, by its number.
fn given(run: &Procrun, number: u32) -> Value {
    let marker = format!("\"NUMBER\":\"{number}\"");
    let line = run.wait_for_line(&marker);
    assert!(line.contains("shop-:api-production | at 20"), "{line}");
    serde_json::from_str(line.split_once("given ").unwrap().1).unwrap()
}

#[test]
fn every_key_of_pm2_has_its_effect() {
    let (bed, mut run, port) = start();

    // What has no meaning here is said once, in one line.
    let line = run.wait_for_err("have no effect: procrun does not have these features of PM2");
    for key in SERVICES {
        assert!(line.contains(&format!("`{key}`")), "{line}");
    }
    assert_eq!(run.err().lines_with("does not have these features of PM2").len(), 1, "{}", run.story());
    run.wait_for_err("`deploy` is a key of another tool");

    // script, args, node_args, source_map_support, cwd, env, env_production, filter_env, instance_var, increment_var.
    for number in [0, 1] {
        let said = given(&run, number);
        assert_eq!(said["argv"], serde_json::json!(["--greeting", "hello you"]));
        let flags = ["--enable-source-maps", "--no-warnings", "--max-old-space-size=200"];
        assert_eq!(said["execArgv"], serde_json::json!(flags));
        assert_eq!(said["cwd"], bed.root().to_string_lossy().as_ref());
        let env = &said["env"];
        assert_eq!(env["MODE"], "production");
        assert_eq!(env["SHARD"], (5 + number).to_string());
        assert_eq!(env["OPTIONS"], r#"{"deep":true}"#);
        assert_eq!([&env["SECRET_KEY"], &env["NODE_APP_INSTANCE"]], [&Value::Null; 2], "{env}");
    }

    // name, name_prefix, append_env_to_name, namespace, instances, exec_mode, port, wait_ready.
    run.wait_for_err_lines("shop-:api-production (0) is ready", 1);
    run.wait_for_err_lines("shop-:api-production (1) is ready", 1);
    let api = jlist(&bed, "shop-:api-production");
    assert_eq!(api.len(), 2);
    for one in &api {
        let env = &one["pm2_env"];
        assert_eq!(
            [&env["status"], &env["exec_mode"], &env["namespace"]],
            ["online", "cluster_mode", "front"]
        );
    }
    assert!(web::get(port, "/").unwrap().starts_with("shard "));

    // pid_file, out_file, error_file, log_file, merge_logs, time, log_date_format.
    for id in [0, 1] {
        let file = format!("pids/api-{id}.pid");
        assert_eq!(
            wait_for(&file, || bed.exists(&file).then(|| bed.read(&file))).trim(),
            api[id]["pid"].to_string()
        );
    }
    let holds = |file: &str, text: &str| bed.exists(file) && bed.read(file).matches(text).count() >= 2;
    for (file, text) in [
        ("logs/api-out.log", ": given {"),
        ("logs/api-error.log", ": to stderr"),
        ("logs/api-all.log", ": given {"),
        ("logs/api-all.log", ": to stderr"),
    ] {
        wait_until(&format!("{text:?} in {file}"), || holds(file, text));
        assert!(bed.read(file).lines().all(|line| line.starts_with("at 20")), "{}", bed.read(file));
    }

    // uid, gid, interpreter by `#!`, autorestart, log_type, out.
    run.wait_for_line("i am nobody of nogroup");
    wait_until("an app without autorestart to stay ended", || status(&bed, "nobody") == "stopped");
    let said: Value = serde_json::from_str(
        wait_for("its log", || bed.read("logs/nobody.json").lines().next().map(str::to_owned)).as_str(),
    )
    .unwrap();
    assert_eq!(
        [&said["message"], &said["type"], &said["app_name"]],
        ["i am nobody of nogroup", "out", "nobody"]
    );

    // A shell line, cron, disable_logs: it restarts each second, and nothing is kept of what it says.
    run.wait_for_err_lines("tick (3): restarting on schedule", 2);
    wait_until("a tick", || bed.exists("ticks") && bed.read("ticks").starts_with("tick\n"));
    assert!(run.out().lines_with("3|tick").is_empty(), "{}", run.story());

    // args as a text, interpreter by extension, stop_exit_codes.
    run.wait_for_line("batch ends with 3");
    wait_until("an exit code that is final", || status(&bed, "batch") == "stopped");

    // exec, exec_interpreter, min_uptime, max_restarts, restart_delay, exp_backoff_restart_delay, autostart.
    run.wait_for_err("flaky (5) exited: code 1");
    run.wait_for_err("restarting in 10 ms");
    wait_until("too many unstable starts", || status(&bed, "flaky") == "errored");
    assert_eq!(run.out().lines_with("flaky fails").len(), 2, "{}", run.story());
    for wait in ["restarting in 50 ms", "restarting in 75 ms", "restarting in 112 ms"] {
        run.wait_for_err(wait);
    }
    assert_eq!(status(&bed, "asleep"), "stopped");
    assert!(run.out().lines_with("7|asleep").is_empty(), "{}", run.story());

    // ignore_watch, watch, watch_delay; and what wait_ready and kill_timeout mean to a reload.
    bed.file("watched/ignored", "2");
    bed.file("watched/version", "2");
    run.wait_for_err("shop-:api-production changed: watched/version, reloading");
    run.wait_for_err("shop-:api-production is reloaded: 2 processes");
    assert_eq!(run.err().lines_with("changed: ").len(), 1, "{}", run.story());

    // shutdown_with_message; the workers of before the reload were asked by it, too.
    assert_eq!(run.stop(), End::Code(0), "{}", run.story());
    assert_eq!(run.out().lines_with("asked to shut down by a message").len(), 4, "{}", run.story());
    assert_eq!(bed.list("pids"), Vec::<String>::new());
}

/// What each app of the file says when it runs: it is one that other tools read too.
#[test]
fn a_key_that_means_something_else_to_another_tool_does_not_stop_its_app() {
    let bed = Bed::new();
    bed.script("app.sh", "#!/bin/sh\necho \"$name runs with ${A:-nothing}\"\nexec sleep 1000\n");
    bed.file("a.env", "A=1\n");
    bed.file(
        "ecosystem.config.cjs",
        r"module.exports = {
            log_format: 'YYYY-MM-DD',
            apps: [
                { name: 'one', script: './app.sh', env_file: ['a.env', '.env'], health: '/status', depends_on: ['redis'] },
                { name: 'two', script: './app.sh', depends_on: 'three', listen: 3000, critical: 'yes', umask: 27 },
                { name: 'three', script: './app.sh', depends_on: 'two', env_file: { path: 'none', required: false } },
            ],
        };",
    );
    let mut run = bed.start(&["ecosystem.config.cjs"]);
    run.wait_for_line("one runs with 1");
    run.wait_for_line("two runs with nothing");
    run.wait_for_line("three runs with nothing");
    run.wait_for_err(".env does not exist: apps start without it");
    run.wait_for_err("`depends_on` in app `one` names `redis`, but there is no app with this name");
    run.wait_for_err("makes a dependency cycle");
    assert!(!run.err().lines().iter().any(|line| line.contains("/none")), "{}", run.story());
    assert_eq!(run.stop(), End::Code(0));
}
