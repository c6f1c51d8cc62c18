//! `/livez`, `/readyz`, `/startupz`, and `procrun healthcheck` by the same rules.

use std::time::Duration;

use crate::support::{Bed, SIGTERM, now, wait_until};

use super::{Web, sleeper};

/// A script that is ready while a file `ready-<instance>` is there.
fn ready_by_file(keys: &str) -> String {
    sleeper(
        "api",
        &format!(
            "{keys}\n[apps.readiness]\nexec = \"test -e ready-$NODE_APP_INSTANCE\"\ninterval = \"50ms\"\nretries = 1"
        ),
    )
}

#[test]
fn an_app_is_ready_when_its_quorum_is() {
    let bed = Bed::with(&ready_by_file("instances = 4\nready_when = \"2 of 4\""));
    let mut web = Web::start(&bed);
    web.run.wait_for_err_lines("is online, pid", 4);
    assert_eq!(web.get("/livez").expect(200), "ok\n");
    let body = web.get("/readyz").expect(503);
    assert!(body.contains("[-]app api failed: 0 of 4 ready, 2 required"), "{body}");
    assert!(body.ends_with("readyz check failed\n"), "{body}");
    assert_eq!(web.status("/startupz"), 503);
    bed.command(&["healthcheck"]).fails(1, "api (0) is online, not ready");
    bed.file("ready-1", "");
    wait_until("one instance to be ready", || web.get("/readyz?verbose").body.contains("1 of 4 ready"));
    assert_eq!(web.status("/readyz"), 503);
    bed.command(&["healthcheck"]).fails(1, "api needs 2 ready and has 1: api (0) is online, not ready");
    bed.file("ready-3", "");
    wait_until("the quorum", || web.status("/readyz") == 200);
    assert_eq!(web.get("/readyz").body, "ok\n");
    assert_eq!(web.get("/startupz").expect(200), "ok\n");
    let body = web.get("/readyz?verbose").expect(200);
    assert!(body.contains("[+]app api ok: 2 of 4 ready, 2 required; api (0) is online, not ready"), "{body}");
    bed.command(&["healthcheck"]).ok();
    // A named app must be ready as a whole.
    bed.command(&["healthcheck", "api"]).fails(1, "api (0) is online, not ready");
    std::fs::remove_file(bed.path("ready-1")).unwrap();
    wait_until("readiness to be lost", || web.status("/readyz") == 503);
    web.run.expect_stop();
}

#[test]
fn readiness_ends_with_the_first_stop_signal_and_the_apps_serve_on() {
    let bed =
        Bed::with(&format!("shutdown_timeout = \"20m\"\npre_stop_delay = \"10m\"\n{}", sleeper("api", "")));
    let mut web = Web::start(&bed);
    wait_until("readiness", || web.status("/readyz") == 200);
    web.run.signal(SIGTERM);
    web.run.wait_for_err("received SIGTERM");
    let asked = now();
    // Not soon, but from now on: the line was written after the signal had been taken in.
    wait_until("the end of readiness", || web.status("/readyz") == 503);
    let body = web.get("/readyz").expect(503);
    assert!(body.starts_with("[-]supervisor failed: procrun is stopping: no app is ready"), "{body}");
    assert_eq!(web.status("/startupz"), 503);
    assert_eq!(web.get("/livez").expect(200), "ok\n", "a restart of the container would interrupt it");
    assert_eq!(web.run.children().len(), 1, "the app serves on");
    // A second signal so soon would be the same Ctrl-C.
    wait_until("a second signal to be another one", || asked.elapsed() > Duration::from_millis(600));
    web.run.signal(SIGTERM);
    web.run.expect_code(0);
}

#[test]
fn the_startup_waits_for_tasks_and_dependencies() {
    let task = "[[apps]]\nname = \"migrate\"\nscript = \"./migrate.sh\"\noneshot = true\n";
    let bed = Bed::with(&format!("{task}{}", sleeper("api", "depends_on = [\"migrate\"]")));
    bed.script("migrate.sh", "#!/bin/sh\nwhile ! test -e go; do sleep 0.05; done\n");
    let mut web = Web::start(&bed);
    web.run.wait_for_err("migrate (0) is online, pid");
    let body = web.get("/startupz").expect(503);
    assert!(body.contains("[-]app migrate failed: 0 of 1 ready; migrate (0) is online\n"), "{body}");
    assert!(body.contains("[-]app api failed: 0 of 1 ready; api (1) is waiting\n"), "{body}");
    bed.file("go", "");
    wait_until("the startup", || web.status("/startupz") == 200);
    assert_eq!(web.status("/readyz"), 200);
    bed.command(&["healthcheck"]).ok();
    // An app that a command has stopped does not count; an impossible start does.
    bed.command(&["stop", "api"]).ok();
    let body = web.get("/readyz").expect(503);
    assert!(body.contains("no process is online"), "{body}");
    web.run.expect_stop();
}

#[test]
fn a_probe_is_refused_or_answered_as_head_and_get_only() {
    let bed = Bed::with(&sleeper("api", ""));
    let mut web = Web::start(&bed);
    wait_until("readiness", || web.status("/readyz") == 200);
    let head = web.request("HEAD /readyz", &[], "");
    assert_eq!((head.status, head.body.as_str(), head.header("content-length")), (200, "", "3"));
    let post = web.request("POST /livez", &[], "");
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
    assert_eq!(post.header("content-type"), "application/problem+json");
    assert_eq!(post.json()["status"], 405);
    let unknown = web.get("/healthz");
    assert_eq!((unknown.status, unknown.json()["title"].as_str()), (404, Some("Not Found")));
    web.run.expect_stop();
}

#[test]
fn without_the_option_no_port_is_open_and_a_taken_one_is_an_error() {
    let bed = Bed::with(&sleeper("api", ""));
    let mut first = Web::start(&bed);
    let address = format!("--web={}", first.port);
    let mut second = bed.launch(&["ecosystem.toml", &address]).env("PROCRUN_HOME", "other").start();
    second.expect_code(71);
    let line = second.wait_for_err("error: the HTTP server cannot listen on 127.0.0.1:");
    assert!(line.contains("in use"), "{line}");
    second.wait_for_err("hint: another program listens there");
    second.wait_for_err("nothing was started");
    first.run.expect_stop();
    let mut plain = bed.isolated(&["ecosystem.toml"]).start();
    plain.wait_for_err("is online, pid");
    let threads = std::fs::read_dir(format!("/proc/{}/task", plain.pid())).unwrap();
    let names = threads.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    assert!(names.into_iter().all(|name| name.trim() != "web"));
    plain.expect_stop();
}
