//! `/api/v1`: what `list`, `describe`, `logs`, `events` and the commands do, and PM2's page.

use serde_json::json;

use crate::support::{Bed, wait_until};

use super::{TOKEN, Web, sleeper};

/// Writes a line each time a file `say` appears.
const SPEAKER: &str = "#!/bin/sh\necho begins\necho 'ERROR broken' >&2\n\
                       while :; do if test -e say; then cat say; rm say; fi; sleep 0.05; done\n";

fn speaker() -> Bed {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"main\"\nscript = \"./main.sh\"\n{}",
        sleeper("other", "instances = 2")
    ));
    bed.script("main.sh", SPEAKER);
    bed
}

#[test]
fn the_list_and_all_details_are_there() {
    let bed = speaker();
    let mut web = Web::start(&bed);
    web.run.wait_for_err_lines("is online, pid", 3);
    let overview = web.get("/api/v1/overview").json();
    assert_eq!(overview["supervisor"]["instances"], 3);
    assert!(overview["surroundings"]["machine"]["cpus"].as_u64().unwrap() > 0);
    let names: Vec<&str> =
        overview["instances"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["main", "other", "other"]);
    let apps = web.get("/api/v1/apps").json();
    assert_eq!(
        (&apps[1]["name"], &apps[1]["online"], &apps[1]["ids"]),
        (&json!("other"), &json!(2), &json!([1, 2]))
    );
    assert_eq!(apps[1]["ready"], true, "{apps}");
    assert_eq!(web.get("/api/v1/instances/other").json().as_array().unwrap().len(), 2);
    let detail = web.get("/api/v1/instances/0").json();
    assert_eq!(detail[0]["brief"]["name"], "main");
    let unknown = web.get("/api/v1/instances/mian");
    assert_eq!((unknown.status, unknown.header("content-type")), (404, "application/problem+json"));
    assert_eq!(web.get("/api/v1/status").json()["online"], 3);
    assert!(web.get("/api/v1/openapi.json").json()["paths"].as_object().unwrap().len() > 10);
    let page = web.get("/").json();
    assert_eq!(page["processes"][0]["pm2_env"]["status"], "online");
    assert!(
        page["monit"]["loadavg"].as_array().unwrap().len() == 3 && page["system_info"]["uptime"].is_number()
    );
    assert_eq!(web.request("GET /", &["Accept: image/png"], "").status, 406);
    assert_eq!(web.status("/api/v1/overview?x=1"), 400);
    web.run.expect_stop();
}

#[test]
fn the_history_has_points_while_a_client_reads_it() {
    let bed = speaker();
    let mut web = Web::start(&bed);
    web.run.wait_for_err_lines("is online, pid", 3);
    wait_until("a point", || {
        let history = web.get("/api/v1/history").json();
        let points = history["times"].as_array().unwrap().len();
        let of = |kind: &str, key: &str| history[kind][key]["memory"].as_array().map_or(0, Vec::len);
        points > 0 && of("apps", "other") == points && of("instances", "2") == points
    });
    web.run.expect_stop();
}

#[test]
fn log_lines_are_streamed_with_filters() {
    let bed = speaker();
    let mut web = Web::start(&bed);
    web.run.wait_for_line("begins");
    web.run.wait_for_err("broken");
    let mut all = web.follow("/api/v1/logs?target=main", &[]);
    let mut errors = web.follow("/api/v1/logs?level=error&target=main&own=false", &[]);
    let mut words = web.follow("/api/v1/logs?text=NEEDLE&lines=0", &[]);
    let begins = all.wait(|message| message.data["text"] == "begins").data;
    assert_eq!(
        (&begins["app"], &begins["id"], &begins["stream"]),
        (&json!("main"), &json!(0), &json!("out"))
    );
    assert_eq!(errors.next().data["text"], "ERROR broken");
    assert_eq!(errors.next().kind, "live");
    all.wait(|message| message.kind == "live");
    words.wait(|message| message.kind == "live");
    bed.file("say.new", "<script>alert(1)</script> hay\nwith a needle\n");
    std::fs::rename(bed.path("say.new"), bed.path("say")).unwrap();
    assert_eq!(words.next().data["text"], "with a needle");
    all.wait(|message| message.data["text"] == "<script>alert(1)</script> hay");
    let mut ended = web.follow("/api/v1/logs?follow=false&stream=err&target=main&own=false", &[]);
    assert_eq!(ended.next().data["text"], "ERROR broken");
    assert_eq!(ended.next().kind, "end");
    assert_eq!(web.status("/api/v1/logs?target=nothing"), 404);
    assert_eq!(web.status("/api/v1/logs?level=loud"), 400);
    web.run.expect_stop();
}

#[test]
fn events_resume_after_the_last_one_that_a_client_has() {
    let bed = speaker();
    let mut web = Web::with(&bed, &[("PROCRUN_WEB_TOKEN", TOKEN)]);
    web.run.wait_for_err_lines("is online, pid", 3);
    let mut first = web.follow("/api/v1/events?lines=1000&kind=instance.online", &[]);
    let mut last = 0;
    for _ in 0..3 {
        let message = first.next();
        assert_eq!(message.data["kind"], "instance.online");
        last = message.id.unwrap();
        assert_eq!(message.data["seq"], last);
    }
    assert_eq!(first.next().kind, "live");
    web.post("/api/v1/instances/main/restart", "").expect(200);
    let restarted = first.next();
    assert!(restarted.data["kind"] == "instance.online" && restarted.id.unwrap() > last, "{restarted:?}");
    drop(first);
    let mut resumed = web.follow("/api/v1/events?target=main", &[&format!("Last-Event-ID: {last}")]);
    let kinds: Vec<String> = std::iter::from_fn(|| Some(resumed.next()))
        .take_while(|message| message.kind != "live")
        .map(|message| message.data["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.last().map(String::as_str), Some("instance.online"), "{kinds:?}");
    assert!(kinds.iter().any(|kind| kind == "instance.exited"), "{kinds:?}");
    // Targets are those of `procrun events`.
    for target in ["/^ma/", "default", "all", "0"] {
        let mut found = web.follow(&format!("/api/v1/events?lines=1000&target={target}"), &[]);
        found.wait(|message| message.data["subject"]["app"] == "main");
        found.wait(|message| message.kind == "live");
        web.post("/api/v1/instances/main/restart", "").expect(200);
        let next = found.wait(|message| message.data["kind"] == "instance.online").data;
        assert_eq!(next["subject"]["app"], "main", "{target}");
    }
    let unknown = web.get("/api/v1/events?target=mian");
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert!(unknown.json()["detail"].as_str().unwrap().contains("mian"));
    web.run.expect_stop();
}

#[test]
fn commands_do_what_they_do_on_the_command_line() {
    let bed = speaker();
    let mut web = Web::with(&bed, &[("PROCRUN_WEB_TOKEN", TOKEN)]);
    web.run.wait_for_err_lines("is online, pid", 3);
    let scaled = web.post("/api/v1/apps/other/scale", r#"{"instances":"+1"}"#).json();
    assert_eq!(scaled["ids"].as_array().unwrap().len(), 3, "{scaled}");
    web.post("/api/v1/instances/other/stop", "").expect(200);
    let statuses = || {
        let list = web.get("/api/v1/instances").json();
        list.as_array()
            .unwrap()
            .iter()
            .map(|it| it["status"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(statuses(), ["online", "stopped", "stopped", "stopped"]);
    web.post("/api/v1/instances/other/start", "").expect(200);
    wait_until("all to be online", || statuses().iter().all(|status| status == "online"));
    web.post("/api/v1/instances/0/signal", r#"{"signal":"SIGKILL"}"#).expect(200);
    web.run.wait_for_err("main (0) exited: signal SIGKILL");
    let unknown = web.post("/api/v1/instances/nothing/stop", "");
    assert_eq!((unknown.status, unknown.header("content-type")), (409, "application/problem+json"));
    assert_eq!(web.post("/api/v1/apps/other/scale", r#"{"instances":"many"}"#).status, 400);
    assert_eq!(web.post("/api/v1/apply", r#"{"dry_run":true}"#).json(), json!({ "changes": [] }));
    let large = format!(r#"{{"signal":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(web.post("/api/v1/instances/0/signal", &large).status, 413);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let form = web.request("POST /api/v1/instances/0/stop", &[&bearer, "Content-Type: text/plain"], "a=b");
    assert_eq!(form.status, 415);
    assert!(form.json()["hint"].as_str().unwrap().contains("Content-Type: application/json"));
    web.run.expect_stop();
}

#[test]
fn the_steps_of_a_command_are_streamed() {
    let bed = speaker();
    let mut web = Web::with(&bed, &[("PROCRUN_WEB_TOKEN", TOKEN)]);
    web.run.wait_for_err_lines("is online, pid", 3);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let reload =
        web.request("POST /api/v1/instances/other/reload", &[&bearer, "Accept: text/event-stream"], "");
    assert_eq!(reload.status, 200, "{reload:?}");
    let events: Vec<&str> = reload.body.lines().filter(|line| line.starts_with("data: ")).collect();
    assert!(events.iter().any(|line| line.contains("\"reload.completed\"")), "{events:?}");
    assert!(reload.body.contains("event: done\ndata: {\"ids\":["), "{}", reload.body);
    web.run.expect_stop();
}
