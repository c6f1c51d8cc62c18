//! Which client may do what.

use std::os::unix::{fs::PermissionsExt as _, net::UnixStream};

use crate::support::{Bed, DEADLINE, SIGTERM, wait_until};

use super::{TOKEN, Web, receive, send, sleeper};

#[test]
fn changes_need_the_token_and_come_from_no_other_site() {
    let bed = Bed::with(&sleeper("api", ""));
    let mut web = Web::with(&bed, &[("PROCRUN_WEB_TOKEN", TOKEN)]);
    wait_until("readiness", || web.status("/readyz") == 200);
    let restart = "POST /api/v1/instances/api/restart";
    let refused = web.request(restart, &[], "");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer realm=\"procrun\""));
    assert!(refused.json()["hint"].as_str().unwrap().contains("PROCRUN_WEB_TOKEN"));
    assert_eq!(web.request(restart, &["Authorization: Bearer 0123456789abcdeF"], "").status, 401);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for headers in [
        [&*bearer, "Origin: http://evil.example"],
        [&*bearer, "Sec-Fetch-Site: cross-site"],
        [&*bearer, "Origin: null"],
    ] {
        assert_eq!(web.request(restart, &headers, "").status, 403, "{headers:?}");
    }
    // Reads are free, but not for a page whose name leads here.
    assert_eq!(web.status("/api/v1/instances"), 200);
    let rebound = web.request("GET /api/v1/instances", &["Host: evil.example:9615"], "");
    assert_eq!(rebound.status, 421);
    assert!(!rebound.body.contains("sleep"), "{rebound:?}");
    let done =
        web.request(restart, &[&bearer, "Origin: http://127.0.0.1", "Sec-Fetch-Site: same-origin"], "");
    assert_eq!(done.json()["ids"], serde_json::json!([0]), "{done:?}");
    web.run.wait_for_err_lines("api (0) is online, pid", 2);
    let any = web.request("GET /api/v1/instances", &["Origin: http://evil.example"], "");
    assert!(any.headers.keys().all(|name| !name.starts_with("access-control-")), "{any:?}");
    web.run.expect_stop();
}

#[test]
fn no_app_gets_the_token_or_the_address_and_secrets_are_masked() {
    let bed = Bed::with(
        "[[apps]]\nname = \"main\"\nscript = \"env; exec sleep 1000\"\n\
         env = { API_TOKEN = \"hunter2\", PLAIN = \"shown\" }\n",
    );
    let mut web = Web::with(&bed, &[("PROCRUN_WEB_TOKEN", TOKEN), ("PROCRUN_WEB", "0")]);
    web.run.wait_for_line("API_TOKEN=hunter2");
    web.run.wait_for_line("PLAIN=shown");
    // A procrun inside of an app would listen at the same address.
    assert_eq!(web.run.out().lines_with("PROCRUN_WEB").len(), 0);
    for path in ["/api/v1/instances/main", "/"] {
        let body = web.get(path).expect(200);
        assert!(
            body.contains("shown") && !body.contains("hunter2") && !body.contains(TOKEN),
            "{path}: {body}"
        );
    }
    web.run.expect_stop();
}

#[test]
fn another_address_serves_only_probes_and_metrics_without_the_token() {
    let bed = Bed::with(&sleeper("api", ""));
    let mut web = Web::of(bed.isolated(&["ecosystem.toml", "--web=0.0.0.0:0"]).start());
    wait_until("readiness", || web.status("/readyz") == 200);
    assert_eq!(web.status("/metrics"), 200);
    for path in ["/", "/api/v1/overview", "/api/v1/logs", "/api/v1/events", "/api/v1/openapi.json"] {
        let refused = web.get(path);
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.body.contains("only probes and metrics"), "{refused:?}");
    }
    assert_eq!(web.post("/api/v1/instances/all/stop", "").status, 403);
    web.run.expect_stop();
    let launch = bed.isolated(&["ecosystem.toml", "--web=0.0.0.0:0"]).env("PROCRUN_WEB_TOKEN", TOKEN);
    let mut web = Web::of(launch.start());
    assert_eq!(web.status("/api/v1/overview"), 401);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(web.request("GET /api/v1/overview", &[&bearer], "").status, 200);
    web.run.expect_stop();
}

#[test]
fn a_token_that_is_short_or_that_no_header_can_have_is_refused() {
    let bed = Bed::with(&sleeper("api", ""));
    for (token, why) in [
        ("secret", "`PROCRUN_WEB_TOKEN` must have at least 16 characters, but has 6"),
        ("0123456789 abcdef", "only visible ASCII characters, but the one at position 11 is not"),
    ] {
        let mut run = bed.isolated(&["ecosystem.toml", "--web=0"]).env("PROCRUN_WEB_TOKEN", token).start();
        run.expect_code(71);
        run.wait_for_err(why);
        run.wait_for_err("nothing was started");
        assert_eq!(run.err().lines_with(token).len(), 0, "a secret is not printed");
    }
    // A file of a secret ends with a newline.
    let mut web = Web::with(&bed, &[("PROCRUN_WEB_TOKEN", &format!("{TOKEN}\n"))]);
    web.run.wait_for_err("is online, pid");
    web.post("/api/v1/instances/api/restart", "").expect(200);
    let lower = format!("authorization: bearer {TOKEN}");
    assert_eq!(web.request("POST /api/v1/instances/api/restart", &[&lower], "").status, 200);
    let wrong = "Authorization: Bearer 0123456789abcdeF";
    for path in ["/livez", "/metrics", "/api/v1/instances"] {
        assert_eq!(web.request(&format!("GET {path}"), &[wrong], "").status, 200, "{path}");
    }
    web.run.expect_stop();
}

#[test]
fn a_request_has_one_host_header_that_is_a_host() {
    let bed = Bed::with(&sleeper("api", ""));
    let mut web = Web::start(&bed);
    for headers in [
        &["Host: [::1]evil.example"][..],
        &["Host: 127.0.0.1", "Host: evil.example"],
        &["Host: 127.0.0.1:evil"],
    ] {
        let refused = web.request("GET /api/v1/instances", headers, "");
        assert_eq!(refused.status, 400, "{headers:?} {refused:?}");
        assert_eq!(refused.header("content-type"), "application/problem+json");
    }
    web.run.expect_stop();
}

#[test]
fn the_unix_socket_needs_no_token_and_only_its_user_may_open_it() {
    let bed = Bed::with(&sleeper("api", ""));
    let path = bed.path("web.sock");
    let option = format!("--web=unix:{}", path.display());
    let mut run = bed.isolated(&["ecosystem.toml", &option]).after("umask 0").start();
    run.wait_for_err("serving probes, metrics and the API at unix:");
    run.wait_for_err("api (0) is online, pid");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    let request = |line: &str| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        send(&mut stream, line, &[], "");
        receive(&mut stream)
    };
    assert_eq!(request("GET /livez").status, 200);
    let done = request("POST /api/v1/instances/all/restart");
    assert_eq!(done.status, 200, "{done:?}");
    run.signal(SIGTERM);
    run.expect_code(0);
    assert!(!path.exists(), "the file goes with procrun");
    bed.file("web.sock", "mine");
    let mut run = bed.isolated(&["ecosystem.toml", &option]).start();
    run.expect_code(71);
    run.wait_for_err("a file that is not a socket has this path");
    run.wait_for_err("hint: remove the file");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    std::fs::remove_file(&path).unwrap();
    // What is not started leaves no file.
    let missing = bed.file("missing.toml", "[[apps]]\nname = \"api\"\nscript = \"./missing.js\"\n");
    let mut run = bed.isolated(&[&missing.display().to_string(), &option]).start();
    run.wait_for_err("nothing was started");
    run.wait_end();
    assert!(!path.exists());
}
