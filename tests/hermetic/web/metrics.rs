//! `/metrics` in both formats, checked by the tool of Prometheus.

use std::process::{Command, Stdio};

use crate::support::{
    Bed,
    promtool::{check_metrics, program},
    spawn, wait_for, wait_until,
    web::free_port,
};

use super::{TOKEN, Web, receive, send, sleeper};

/// The value of a sample, a whole number.
#[track_caller]
fn text_of<'a>(text: &'a str, sample: &str) -> &'a str {
    let line = text.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no {sample}: {text}"));
    line.rsplit(' ').next().unwrap().trim_end_matches(".0")
}

#[track_caller]
fn value(text: &str, sample: &str) -> f64 {
    text_of(text, sample).parse().unwrap()
}

#[test]
fn the_figures_are_those_of_the_apps_and_both_formats_are_valid() {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"task\"\nscript = \"exit 3\"\nautorestart = false\n{}",
        sleeper("api", "instances = 2")
    ));
    let mut web = Web::with(&bed, &[("PROCRUN_WEB_TOKEN", TOKEN)]);
    web.run.wait_for_err_lines("api (", 2);
    web.run.wait_for_err("task (0) exited");
    wait_until("both instances to be online", || {
        web.get("/metrics")
            .body
            .contains("procrun_app_instances{app=\"api\",namespace=\"default\",status=\"online\"} 2")
    });
    let text = web.get("/metrics");
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = text.expect(200);
    assert_eq!(text_of(&text, "procrun_app_exits_total{app=\"task\",reason=\"exit\"}"), "1");
    assert_eq!(text_of(&text, "procrun_app_exit_codes_total{app=\"task\",code=\"3\"}"), "1");
    assert_eq!(text_of(&text, "procrun_app_starts_total{app=\"api\"}"), "2");
    assert_eq!(text_of(&text, "procrun_instance_up{app=\"api\",id=\"1\"}"), "1");
    assert_eq!(text_of(&text, "procrun_instance_processes{app=\"api\",id=\"2\"}"), "1");
    assert!(value(&text, "procrun_instance_resident_memory_bytes{app=\"api\",id=\"1\"}") > 0.0);
    assert!(value(&text, "procrun_cpu_seconds_total") > 0.0);
    assert_eq!(text_of(&text, "procrun_ready"), "0", "the task has failed");
    check_metrics(&text);
    // A restart is counted, and counters never decrease.
    web.post("/api/v1/instances/1/restart", "").expect(200);
    wait_until("the restart to be counted", || {
        value(&web.get("/metrics").body, "procrun_app_starts_total{app=\"api\"}") >= 3.0
    });
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let openmetrics = web.request("GET /metrics", &[accept], "");
    assert_eq!(
        openmetrics.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(openmetrics.body.ends_with("# EOF\n"));
    assert!(openmetrics.body.contains("# TYPE procrun_app_starts counter\n"), "{}", openmetrics.body);
    assert_eq!(web.request("GET /metrics", &["Accept: image/png"], "").status, 406);
    web.run.expect_stop();
}

#[test]
fn the_cpu_time_of_a_run_does_not_fall_when_an_orphan_ends() {
    let bed = Bed::with(&sleeper("other", "").replace("exec sleep 1000", "./main.sh"));
    // The orphan stays in the process tree of the worker, which cannot wait for it.
    bed.script("main.sh", "#!/bin/sh\n(sh ./burn.sh &)\nexec sleep 1000\n");
    bed.file(
        "burn.sh",
        "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done; echo burned; \
         while ! test -e end; do sleep 0.05; done\n",
    );
    let mut web = Web::start(&bed);
    web.run.wait_for_line("burned");
    let cpu =
        || value(&web.get("/metrics").body, "procrun_instance_cpu_seconds_total{app=\"other\",id=\"0\"}");
    let before = cpu();
    assert!(before > 0.0);
    bed.file("end", "");
    wait_until("the orphan to be gone", || {
        text_of(&web.get("/metrics").body, "procrun_instance_processes{app=\"other\",id=\"0\"}") == "1"
    });
    let after = cpu();
    assert!(after >= before, "{after} after {before}");
    web.run.expect_stop();
}

#[test]
fn prometheus_scrapes_it() {
    let bed = Bed::with(&sleeper("api", ""));
    let mut web = Web::start(&bed);
    let port = free_port();
    bed.file(
        "prometheus.yml",
        format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n  - job_name: procrun\n    \
             static_configs: [{{targets: [\"127.0.0.1:{}\"]}}]\n",
            web.port
        ),
    );
    let mut command = Command::new(program("prometheus"));
    command
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .current_dir(bed.root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    let mut prometheus = spawn(&mut command);
    let query = |expression: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        send(&mut stream, &format!("GET /api/v1/query?query={expression}"), &[], "");
        let answer = receive(&mut stream).body;
        let body = &answer[answer.find('{')?..=answer.rfind('}')?];
        let value: serde_json::Value = serde_json::from_str(body).ok()?;
        value.pointer("/data/result/0/value/1")?.as_str().map(str::to_owned)
    };
    let up = wait_for("a scrape", || query("up").filter(|up| up == "1"));
    assert_eq!(up, "1");
    let online = wait_for("a sample", || query("procrun_app_ready%7Bapp=%22api%22%7D"));
    assert_eq!(online, "1");
    let _ = prometheus.kill();
    let _ = prometheus.wait();
    web.run.expect_stop();
}
