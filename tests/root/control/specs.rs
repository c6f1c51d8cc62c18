//! Hand-made applications, by the control socket and in a saved list: each is refused with the key that is wrong,
//! and the supervisor goes on.

use serde_json::{Value, json};

use super::{APPS, Rough, socket, statuses, supervisor};
use crate::support::{Bed, workers};

/// 2^63 seconds: more than any clock can count.
fn for_ever() -> Value {
    json!({"secs": 1_u64 << 63, "nanos": 0})
}

fn exec_probe(words: &[&str], timeout: &Value) -> Value {
    json!({
        "target": {"Exec": words},
        "interval": {"secs": 10, "nanos": 0},
        "timeout": timeout,
        "retries": 3,
        "start_period": {"secs": 0, "nanos": 0},
    })
}

/// A place in an application, what is put there, and what the refusal says.
fn mutations() -> Vec<(&'static str, Value, &'static str)> {
    let usual = json!({"secs": 5, "nanos": 0});
    vec![
        ("/name", json!("n".repeat(70_000)), "`name` in app `nnn"),
        ("/name", json!(""), "`name` in app `` must not be empty"),
        ("/name", json!("a\u{1b}[2Jb"), "contains a control character"),
        ("/namespace", json!("x".repeat(300)), "`namespace`"),
        ("/exec/script", json!("a\0b"), "`script`"),
        ("/exec/args", json!(["\0"]), "`args`"),
        ("/exec/cwd", json!("relative"), "`cwd`"),
        ("/instances", json!({"Count": 4_000_000_000_u32}), "`instances`"),
        ("/env/vars", json!({"A=B": "1"}), "`env`"),
        ("/identity/user", json!({"Id": u32::MAX}), "`uid`"),
        ("/limits/nice", json!(100), "`nice`"),
        ("/limits/umask", json!(0o7777), "`umask`"),
        ("/restart/min_uptime", for_ever(), "`min_uptime`"),
        ("/restart/backoff", json!({"Fixed": for_ever()}), "cannot be longer than 30 days"),
        ("/restart/max_restarts", json!(0), "`max_restarts`"),
        ("/max_memory", json!({"Share": 65_535}), "`max_memory_restart`"),
        ("/reload/listen_timeout", for_ever(), "`listen_timeout`"),
        ("/reload/max_parallel", json!(0), "`max_parallel`"),
        ("/stop/kill_timeout", for_ever(), "`kill_timeout` in app `added` cannot be longer than 30 days"),
        ("/stop/drain", for_ever(), "`drain`"),
        ("/health/liveness", exec_probe(&[], &usual), "`health` in app `added` has `exec`"),
        ("/health/liveness", exec_probe(&["true"], &for_ever()), "has `timeout`, which cannot be longer"),
        ("/health/readiness", exec_probe(&[""], &usual), "`readiness`"),
        ("/health/heartbeat", for_ever(), "`heartbeat`"),
        ("/logs/files/keep", json!(u32::MAX), "`log_keep`"),
        ("/logs/files/max_size", json!(u64::MAX), "`log_max_size`"),
    ]
}

/// The saved form of the first application.
fn saved(rough: &mut Rough) -> Value {
    rough.asks("\"save\"")["saved"][0].clone()
}

fn with(app: &Value, place: &str, value: &Value) -> Value {
    let mut app = app.clone();
    app["name"] = "added".into();
    *app.pointer_mut(place).expect("the key is there") = value.clone();
    app
}

#[test]
fn a_hand_made_spec_is_refused_with_its_key_and_the_supervisor_continues() {
    let bed = Bed::with(APPS);
    let mut run = supervisor(&bed, true, 3);
    let mut rough = Rough::greeted(&socket(&bed));
    let app = saved(&mut rough)["app"].clone();
    let add = |app: &Value, environment: Value| {
        json!({"add": {"apps": [app], "environment": environment, "name_conflict": "refuse"}}).to_string()
    };
    for (place, value, why) in mutations() {
        let answer = rough.asks(&add(&with(&app, place, &value), json!({})));
        let message = answer["failed"]["message"].as_str().unwrap_or_else(|| panic!("{place}: {answer}"));
        assert!(message.contains(why), "{place}: {message}");
        assert!(message.len() < 300 && !message.contains('\u{1b}'), "{place}: {message}");
    }
    let fine = with(&app, "/namespace", &json!("fine"));
    let answer = rough.asks(&add(&fine, json!({"A=B": "1"})));
    assert!(answer.to_string().contains("the environment has the name `A=B`"), "{answer}");
    assert_eq!(statuses(&bed), ["api online", "api online", "worker online"]);
    add_and_wait(&mut rough, &add(&fine, json!({})));
    assert_eq!(statuses(&bed).len(), 5, "the same spec without a mutation runs");
    run.expect_stop();
}

/// Sends a request and waits until it is done.
fn add_and_wait(rough: &mut Rough, request: &str) {
    rough.say(request);
    loop {
        let answer = rough.hear();
        if answer["done"].is_object() {
            return;
        }
        assert!(answer["step"].is_object(), "{answer}");
    }
}

#[test]
fn a_hand_made_saved_list_is_refused_app_by_app() {
    let bed = Bed::new();
    bed.script("app.sh", workers::STEADY);
    let mut first = bed.isolated(&["start", "./app.sh", "--name", "good", "--", "good"]).start();
    first.expect_code(0);
    bed.command(&["save"]).ok();
    bed.command(&["kill"]).ok();
    let list: Value = serde_json::from_str(&bed.read("home/dump.json")).unwrap();
    let good = list["apps"][0].clone();
    for (place, value, why) in mutations() {
        let mut list = list.clone();
        let mut bad = good.clone();
        bad["app"] = with(&good["app"], place, &value);
        list["apps"] = json!([bad, good]);
        bed.file("home/dump.json", list.to_string());
        let mut back = bed.isolated(&["resurrect"]).start();
        back.expect_code(78);
        let failed = back.wait_for_err("dump.json: ");
        assert!(failed.contains(why), "{place}: {failed}");
        // The background supervisor lives, and the other application runs.
        assert_eq!(statuses(&bed), ["good online"], "{place}");
        bed.command(&["kill"]).ok();
    }
}
