//! `[apps.health]` and `[apps.readiness]` with the real binary: real workers that hang, fail and come back.

use std::{fs, time::Duration};

use crate::support::{
    self, Bed, CommandOutput, Procrun, SIGHUP, SIGKILL, procfs, wait_until, web::free_port,
};
use serde_json::Value;

/// A Node server that hangs when it is asked to, fails while there is a file `sick`, and says what it
/// was asked.
const SERVER: &str = r"
const http = require('http');
const fs = require('fs');
console.log(`begins as ${process.pid}`);
http.createServer((request, response) => {
  if (request.url === '/hang') for (;;);
  if (fs.existsSync('sick')) response.statusCode = 503;
  response.end(fs.existsSync('sick') ? 'the database is down\n' : 'fine');
}).listen(+process.env.PORT, '127.0.0.1', () => console.log(`listens on ${process.env.PORT}`));
";

/// Asks often and believes soon.
const SOON: &str = "interval = \"100ms\"\ntimeout = \"1s\"\nretries = 2\n";

fn server(bed: &Bed, keys: &str, tables: &str) -> u16 {
    let port = free_port();
    bed.file("app.js", SERVER);
    bed.file(
        "ecosystem.toml",
        format!("[[apps]]\nname = \"api\"\nscript = \"app.js\"\nport = {port}\nkill_timeout = 500\n{keys}\n{tables}"),
    );
    port
}

fn start(bed: &Bed) -> Procrun {
    bed.isolated(&["ecosystem.toml"]).start()
}

/// What `describe` says of the first process.
#[track_caller]
fn described(bed: &Bed) -> Value {
    bed.command(&["describe", "0", "--json"]).json()[0].take()
}

/// A shell app with this check.
fn shell(bed: &Bed, keys: &str, check: &str) {
    bed.script("main.sh", "#!/bin/sh\ntrap 'exit 0' TERM\necho begins as $$\nwhile :; do sleep 0.1; done\n");
    bed.file(
        "ecosystem.toml",
        format!("[[apps]]\nname = \"main\"\nscript = \"./main.sh\"\n{keys}\n[apps.health]\n{SOON}{check}\n"),
    );
}

#[test]
fn an_event_loop_that_hangs_is_found_and_the_worker_runs_again() {
    let bed = Bed::new();
    let port = server(&bed, "", &format!("[apps.health]\nhttp = \"/healthz\"\n{SOON}"));
    let mut procrun = start(&bed);
    procrun.wait_for_err("api (0) is healthy after");
    assert_eq!(described(&bed)["brief"]["healthy"], true);
    // The server never answers.
    let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut client, b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let said = procrun.wait_for_err("api (0) failed 2 health probes in a row");
    assert!(
        said.ends_with(&format!("GET http://localhost:{port}/healthz: no answer within 1.0 s")),
        "{said}"
    );
    procrun.wait_for_lines("listens on", 2);
    procrun.wait_for_err_lines("api (0) is healthy after", 2);
    let now = described(&bed);
    assert_eq!(now["exits"][0]["reason"], "health");
    assert!(now["exits"][0]["text"].as_str().unwrap().contains("health probes in a row"), "{now}");
    assert_eq!(now["brief"]["restarts"], 1);
    procrun.expect_stop();
}

#[test]
fn a_bad_status_is_a_failure_that_is_reported_with_its_text() {
    let bed = Bed::new();
    let port = server(&bed, "", "");
    let url = format!("http://127.0.0.1:{port}/healthz?deep");
    server_with(&bed, port, &format!("[apps.health]\nhttp = \"{url}\"\n{SOON}"));
    let mut procrun = start(&bed);
    procrun.wait_for_err("is healthy");
    bed.command(&["healthcheck"]).ok();
    bed.file("sick", "");
    let said = procrun.wait_for_err("api (0) failed 2 health probes in a row");
    assert!(
        said.ends_with(&format!("GET {url}: answered 503 Service Unavailable: the database is down")),
        "{said}"
    );
    procrun.wait_for_lines("begins as", 2);
    let CommandOutput { code, err, .. } = bed.command(&["healthcheck"]);
    assert!(code == 1 && err.contains("api (0)"), "{err}");
    fs::remove_file(bed.path("sick")).unwrap();
    procrun.wait_for_err_lines("is healthy", 2);
    procrun.expect_stop();
}

fn server_with(bed: &Bed, port: u16, tables: &str) {
    bed.file(
        "ecosystem.toml",
        format!("[[apps]]\nname = \"api\"\nscript = \"app.js\"\nport = {port}\nkill_timeout = 500\n{tables}"),
    );
}

#[test]
fn each_instance_is_probed_at_its_own_port() {
    let bed = Bed::new();
    let keys = "instances = 2\nexec_mode = \"fork\"\nincrement_var = \"PORT\"";
    let port = server(&bed, keys, &format!("[apps.health]\nhttp = \"/\"\n{SOON}"));
    let mut procrun = start(&bed);
    procrun.wait_for_err("api (0) is healthy");
    procrun.wait_for_err("api (1) is healthy");
    let mut client = std::net::TcpStream::connect(("127.0.0.1", port + 1)).unwrap();
    std::io::Write::write_all(&mut client, b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    procrun.wait_for_err("api (1) failed 2 health probes");
    procrun.wait_for_err_lines("api (1) is healthy", 2);
    assert!(procrun.err().lines_with("api (0) failed").is_empty(), "{}", procrun.story());
    procrun.expect_stop();
}

#[test]
fn a_port_without_a_listener_is_a_failure_after_the_start_period() {
    let bed = Bed::new();
    let port = free_port();
    shell(&bed, "kill_timeout = 500", &format!("tcp = {port}\nstart_period = \"1500ms\""));
    let began = support::now();
    let mut procrun = start(&bed);
    let said = procrun.wait_for_err("main (0) failed 2 health probes in a row");
    assert!(began.elapsed() >= Duration::from_millis(1500), "not in its start period");
    assert!(said.contains(&format!("[::1]:{port}: connection refused")), "{said}");
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    procrun.wait_for_err("main (0) is healthy");
    drop(listener);
    procrun.wait_for_err_lines("main (0) failed 2 health probes", 2);
    procrun.expect_stop();
}

#[test]
fn a_program_that_fails_is_believed_and_runs_as_the_app_does() {
    let bed = Bed::new();
    // Its own environment, directory and PATH, and nothing of Node's channel.
    bed.script(
        "check.sh",
        "#!/bin/sh\nenv > seen.tmp && mv seen.tmp seen\necho to-stderr >&2\n[ ! -e sick ] || { echo no; echo 'bad blood'; exit 7; }\n",
    );
    let check = format!("[apps.health]\nexec = [\"./check.sh\"]\n{SOON}");
    server(&bed, "env = { MINE = \"yes\" }", &check);
    let mut procrun = start(&bed);
    procrun.wait_for_err("is healthy");
    let seen = bed.read("seen");
    for line in ["MINE=yes", "name=api", &format!("PWD={}", bed.root().display())] {
        assert!(seen.lines().any(|it| it == line), "no {line} in {seen}");
    }
    assert!(!seen.contains("NODE_CHANNEL_FD") && !seen.contains("NOTIFY_SOCKET"), "{seen}");
    bed.file("sick", "");
    let said = procrun.wait_for_err("api (0) failed 2 health probes in a row");
    assert!(said.ends_with("its probe exited with code 7: bad blood"), "{said}");
    fs::remove_file(bed.path("sick")).unwrap();
    procrun.wait_for_err_lines("is healthy", 2);
    procrun.expect_stop();
}

#[test]
fn a_program_that_hangs_is_killed_with_its_tree_and_leaves_no_zombie() {
    let bed = Bed::new();
    // One that has its own session, ignores SIGTERM, and fills its pipe.
    bed.script(
        "check.sh",
        "#!/bin/sh\ntrap '' TERM\nsetsid sh -c 'echo $$ >> pids; exec sleep 1000' &\n\
         echo $$ >> pids\nwhile :; do echo 'still looking'; done\n",
    );
    shell(&bed, "kill_timeout = 500", "exec = './check.sh'\nstart_period = 0\n");
    let mut procrun = start(&bed);
    let said = procrun.wait_for_err("main (0) failed 2 health probes in a row");
    // The line that was under way when the check was killed may be cut.
    assert!(said.contains("its probe has not ended within 1.0 s: s"), "{said}");
    procrun.wait_for_lines("begins as", 2);
    let pids: Vec<i32> = bed.read("pids").lines().take(4).map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 4, "{pids:?}");
    wait_until("all of them to be gone", || pids.iter().all(|pid| !procfs::alive(*pid)));
    wait_until("them to be reaped", || procrun.zombies().is_empty());
    procrun.expect_stop();
    wait_until("the last of them to be gone, too", || procrun.others().is_empty());
}

#[test]
fn programs_that_come_and_go_are_reaped() {
    let bed = Bed::new();
    bed.script("check.sh", "#!/bin/sh\necho $$ >> pids\nsleep 1000 &\necho $! >> left\n");
    shell(&bed, "", "exec = [\"./check.sh\"]");
    let mut procrun = start(&bed);
    wait_until("twenty checks", || bed.read("pids").lines().count() >= 20);
    wait_until("no zombie", || procrun.zombies().is_empty());
    assert!(procrun.err().lines_with("health probe").is_empty(), "{}", procrun.story());
    // What a check leaves behind in its group ends with it.
    let left: Vec<i32> = bed.read("left").lines().take(10).map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(left.len(), 10);
    wait_until("what they left behind to be gone", || left.iter().all(|pid| !procfs::alive(*pid)));
    procrun.expect_stop();
}

#[test]
fn a_program_runs_as_the_user_of_the_app() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can change its user; that case is all there is to this test.
        return;
    }
    let bed = Bed::new();
    let keys = "user = \"nobody\"\numask = \"0027\"\nkill_timeout = 500";
    shell(&bed, keys, "exec = \"echo $(id -un) $(umask); false\"\nstart_period = 0");
    let mut procrun = start(&bed);
    let said = procrun.wait_for_err("main (0) failed 2 health probes in a row");
    assert!(said.ends_with("its probe exited with code 1: nobody 0027"), "{said}");
    procrun.expect_stop();
}

#[test]
fn a_missing_program_is_a_failure_like_others() {
    let bed = Bed::new();
    shell(&bed, "kill_timeout = 500", "exec = [\"no-such-check\"]\nstart_period = 0");
    let mut procrun = start(&bed);
    let said = procrun.wait_for_err("main (0) failed 2 health probes in a row");
    assert!(said.ends_with("`no-such-check` does not exist"), "{said}");
    procrun.expect_stop();
}

#[test]
fn an_instance_without_a_passed_check_is_shown_so_and_its_limit_is_a_number() {
    let bed = Bed::new();
    shell(
        &bed,
        "max_memory_restart = \"300M\"\nheartbeat = \"1h\"",
        "exec = \"echo soon; exit 1\"\nstart_period = \"1h\"",
    );
    let mut procrun = start(&bed);
    procrun.wait_for_line("begins as");
    wait_until("a first answer", || described(&bed)["brief"]["problem"].is_string());
    let page = bed.command(&["describe", "main"]).out;
    for line in ["online, not healthy yet\n", "healthy             false\n", "heartbeat           1h\n"] {
        assert!(page.contains(line), "{line}{page}");
    }
    let CommandOutput { code, err, .. } = bed.command(&["healthcheck"]);
    assert!(code == 1 && err.contains("main (0) is online, not healthy yet: its probe exited"), "{err}");
    let jlist = bed.command(&["jlist"]).out;
    let jlist: Value = serde_json::from_str(&jlist).unwrap();
    assert_eq!(jlist[0]["pm2_env"]["max_memory_restart"], 300 << 20);
    procrun.expect_stop();
}

#[test]
fn a_check_that_writes_without_end_takes_no_processor() {
    let bed = Bed::new();
    shell(&bed, "", "exec = \"yes\"\ntimeout = \"2s\"\nretries = 1000");
    let text = fs::read_to_string(bed.path("ecosystem.toml")).unwrap();
    bed.file("ecosystem.toml", text.replace("timeout = \"1s\"\nretries = 2\n", ""));
    let mut procrun = start(&bed);
    procrun.wait_for_line("begins as");
    let (begun, before) = (support::now(), procfs::cpu_ticks(procrun.pid()));
    wait_until("the first timeout", || described(&bed)["brief"]["problem"].is_string());
    let (took, ticks) = (begun.elapsed(), procfs::cpu_ticks(procrun.pid()) - before);
    // A tick is 10 ms.
    assert!(Duration::from_millis(ticks * 10) < took / 4, "{ticks} ticks in {took:?}");
    procrun.expect_stop();
}

#[test]
fn readiness_flips_the_flag_and_restarts_nothing() {
    let bed = Bed::new();
    server(&bed, "", &format!("[apps.readiness]\nhttp = \"/ready\"\n{SOON}"));
    let mut procrun = start(&bed);
    procrun.wait_for_err("api (0) is ready after");
    assert_eq!(described(&bed)["brief"]["ready"], true);
    let page = bed.command(&["describe", "api"]).out;
    for line in
        ["ready               true\n", "readiness           http /ready, interval 100ms, timeout 1s, "]
    {
        assert!(page.contains(line), "{page}");
    }
    bed.file("sick", "");
    procrun.wait_for_err("api (0) is not ready: GET http://localhost:");
    let now = described(&bed);
    assert_eq!((&now["brief"]["ready"], &now["brief"]["status"]), (&false.into(), &"online".into()));
    let list = bed.command(&["list"]).out;
    assert!(list.contains("online, not ready"), "{list}");
    let CommandOutput { code, err, .. } = bed.command(&["healthcheck"]);
    assert_eq!(code, 1);
    assert!(err.contains("api (0) is online, not ready: GET http"), "{err}");
    let jlist = bed.command(&["jlist"]).out;
    assert!(jlist.contains("\"ready\":false"), "{jlist}");
    fs::remove_file(bed.path("sick")).unwrap();
    procrun.wait_for_err_lines("api (0) is ready after", 2);
    bed.command(&["healthcheck"]).ok();
    assert_eq!(procrun.out().lines_with("begins as").len(), 1, "{}", procrun.story());
    procrun.expect_stop();
}

#[test]
fn a_successor_that_never_gets_healthy_is_rolled_back() {
    let bed = Bed::new();
    bed.file(
        "app.js",
        "require('http').createServer((_, response) => response.end('ok'))
           .listen(+process.env.PORT, () => console.log(`${process.env.VERSION} listens as ${process.pid}`));",
    );
    let port = free_port();
    bed.script("check.sh", "#!/bin/sh\necho \"$VERSION is asked\"\n[ \"$VERSION\" != bad ]\n");
    let write = |version: &str| {
        let keys = format!(
            "instances = 2\nport = {port}\nlisten_timeout = 3000\nenv = {{ VERSION = \"{version}\" }}"
        );
        bed.file(
            "ecosystem.toml",
            format!(
                "[[apps]]\nname = \"api\"\nscript = \"app.js\"\n{keys}\n[apps.readiness]\nexec = [\"./check.sh\"]\n{SOON}"
            ),
        );
    };
    write("old");
    let mut procrun = start(&bed);
    procrun.wait_for_err_lines("is ready after", 2);
    write("bad");
    procrun.signal(SIGHUP);
    let said = procrun.wait_for_err("the reload of api is aborted");
    assert!(
        said.contains("did not pass its readiness probe within 3.0 s (`listen_timeout`): its probe exited with code 1: bad is asked")
            && said.contains("the old version keeps serving"),
        "{said}"
    );
    wait_until("only the old ones to be there", || procrun.children().len() == 2);
    write("good");
    procrun.signal(SIGHUP);
    procrun.wait_for_err("api is reloaded: 2 processes");
    assert_eq!(procrun.out().lines_with("good listens").len(), 2, "{}", procrun.story());
    procrun.expect_stop();
}

#[test]
fn a_hanging_target_delays_no_other_probe() {
    let bed = Bed::new();
    // Takes every connection and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let app = |number: u32| {
        format!(
            "[[apps]]\nname = \"a{number}\"\nscript = \"exec sleep 1000\"\n\
             [apps.readiness]\nhttp = \"http://127.0.0.1:{port}/\"\ntimeout = \"1h\"\n"
        )
    };
    let text: String = (0..20).map(app).collect();
    bed.file("ecosystem.toml", text);
    let mut procrun = start(&bed);
    let taken: Vec<_> = (0..20).map(|_| silent.accept().unwrap()).collect();
    // Everything else goes on.
    let worker = procrun.children()[0].pid;
    support::send(worker, SIGKILL);
    procrun.wait_for_err("restarting now");
    bed.command(&["list"]).ok();
    let CommandOutput { code, err, .. } = bed.command(&["healthcheck"]);
    assert!(code == 1 && err.contains("is online, not ready"), "{err}");
    procrun.expect_stop();
    drop(taken);
}

#[test]
fn an_impossible_check_starts_nothing() {
    for (table, why) in [
        (
            "http = \"/healthz\"",
            "`health` asks for a path at the app's own port, but its environment has no PORT",
        ),
        (
            "http = \"https://localhost/\"",
            "ecosystem.toml:5:8: `health` in app `main` has `http`, which is `https://localhost/`, but probes use plain HTTP only",
        ),
        (
            "tcp = 80\nretry = 2",
            "ecosystem.toml:6:1: `health` in app `main` has no key `retry`; the keys are http, tcp, exec",
        ),
        ("interval = 5", "has no target: it needs `http`, `tcp` or `exec`"),
    ] {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"main\"\nscript = \"sleep 1000\"\n[apps.health]\n{table}\n"
        ));
        let mut procrun = start(&bed);
        procrun.expect_code(78);
        let said = procrun.err().lines().join("\n");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn json_and_yaml_take_the_same_keys() {
    let json = r#"{ "apps": [{ "name": "a", "script": "sleep 1000",
        "health": { "tcp": "127.0.0.1:1", "startPeriod": 500, "retries": 2 }, "readiness": { "exec": ["true"] } }] }"#;
    let yaml = "apps:\n- name: a\n  script: sleep 1000\n  health:\n    tcp: 127.0.0.1:1\n    start_period: 500ms\n    retries: 2\n  readiness:\n    exec: ['true']\n";
    for (file, text) in [("ecosystem.json", json), ("ecosystem.yaml", yaml)] {
        let bed = Bed::new();
        bed.file(file, text);
        let CommandOutput { code, out, err } = bed.command(&["check", file]);
        assert_eq!(code, 0, "{err}");
        let health = "tcp 127.0.0.1:1, interval 10s, timeout 5s, retries 2, start_period 500ms";
        assert!(out.contains(health) && out.contains("exec [\"true\"], interval 10s"), "{out}");
        assert!(!err.contains("no effect"), "{err}");
    }
}

#[test]
fn a_check_of_a_shared_port_has_a_warning() {
    let said = |keys: &str| {
        let bed = Bed::with(&format!(
            "[[apps]]\nname = \"api\"\nscript = \"app.js\"\nport = 80\n{keys}\n[apps.health]\nhttp = \"/\"\n"
        ));
        let CommandOutput { code, err, .. } = bed.command(&["check", "ecosystem.toml"]);
        assert_eq!(code, 0, "{err}");
        err
    };
    assert!(said("instances = 2").contains("cannot find the one that hangs"));
    for fine in ["instances = 1", "instances = 2\nheartbeat = \"5s\"", "instances = 2\nexec_mode = \"fork\""]
    {
        assert!(!said(fine).contains("cannot find the one"), "{fine}");
    }
}
