//! Clients that want to keep the server from others.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use crate::support::{Bed, SIGKILL, send, wait_until};

use super::{TOKEN, Web, sleeper};

fn web() -> (Bed, Web) {
    let bed = Bed::with(&sleeper("api", "instances = 2"));
    let web = Web::with(&bed, &[("PROCRUN_WEB_TOKEN", TOKEN)]);
    wait_until("readiness", || web.status("/readyz") == 200);
    (bed, web)
}

#[test]
fn a_thousand_idle_and_slow_connections_keep_no_probe_waiting() {
    let (_bed, mut web) = web();
    let mut idle: Vec<TcpStream> = (0..1000).map(|_| web.connect()).collect();
    for slow in idle.iter_mut().step_by(2) {
        // A request that never ends.
        let _ = slow.write_all(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ");
    }
    for _ in 0..20 {
        assert_eq!(web.get("/livez").expect(200), "ok\n");
        assert_eq!(web.status("/readyz"), 200);
        assert_eq!(web.status("/metrics"), 200);
    }
    // The supervisor has its own work meanwhile.
    let worker = web.run.children()[0].pid;
    send(worker, SIGKILL);
    web.run.wait_for_err_lines("is online, pid", 3);
    drop(idle);
    web.run.expect_stop();
}

#[test]
fn large_heads_and_bodies_are_refused() {
    let (_bed, mut web) = web();
    let long = format!("X-Long: {}", "x".repeat(100_000));
    assert_eq!(web.request("GET /livez", &[&long], "").status, 431);
    let many: Vec<String> = (0..200).map(|number| format!("X-{number}: x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(web.request("GET /livez", &many, "").status, 431);
    let path = format!("GET /{}", "x".repeat(100_000));
    assert!([414, 431].contains(&web.request(&path, &[], "").status));
    for garbage in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
    ] {
        let mut stream = web.connect();
        stream.write_all(garbage).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    // A body that is announced and never sent costs its sender only.
    let mut stream = web.connect();
    let head = format!(
        "POST /api/v1/instances/0/signal HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(web.status("/livez"), 200);
    web.run.expect_stop();
}

#[test]
fn a_flood_of_requests_does_not_keep_the_supervisor_from_its_work() {
    let (bed, mut web) = web();
    let port = web.port;
    let flood = |path: &'static str| {
        thread::spawn(move || {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return };
            let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
            let mut answer = vec![0; 64 * 1024];
            // Until procrun ends.
            while stream.write_all(request.as_bytes()).is_ok()
                && stream.read(&mut answer).is_ok_and(|it| it > 0)
            {}
        })
    };
    let paths = ["/livez", "/readyz?verbose", "/metrics", "/api/v1/instances/all", "/api/v1/overview", "/"];
    let floods: Vec<_> = paths.iter().cycle().take(24).map(|path| flood(path)).collect();
    for round in 0..3 {
        for child in web.run.children() {
            send(child.pid, SIGKILL);
        }
        web.run.wait_for_err_lines("is online, pid", 2 + 2 * (round + 1));
        bed.command(&["list"]).ok();
    }
    web.run.expect_stop();
    for flood in floods {
        flood.join().unwrap();
    }
}

#[test]
fn a_client_that_does_not_read_its_stream_costs_no_other_client_anything() {
    let bed =
        Bed::with("[[apps]]\nname = \"main\"\nscript = \"yes 0123456789012345678901234567890123456789\"\n");
    bed.file("x", "");
    let mut web = Web::of(bed.isolated(&["ecosystem.toml", "--web=0", "--log-level=info"]).start());
    let mut stalled = web.connect();
    stalled.write_all(b"GET /api/v1/logs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut reading = web.follow("/api/v1/logs?lines=0", &[]);
    for _ in 0..100 {
        reading.wait(|message| message.kind.is_empty());
    }
    assert_eq!(web.status("/livez"), 200);
    web.run.signal(crate::support::SIGTERM);
    web.run.wait_end();
    drop(stalled);
}

#[test]
fn greedy_readers_leave_metrics_and_probes_their_turn() {
    let (_bed, mut web) = web();
    let port = web.port;
    // More than may wait, and no two ask the same.
    let readers: Vec<_> = (0..120)
        .map(|reader| {
            thread::spawn(move || {
                let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return };
                let mut answer = vec![0; 64 * 1024];
                for round in 0.. {
                    let request = format!(
                        "GET /api/v1/instances/none-{reader}-{round} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
                    );
                    // Until procrun ends.
                    if stream.write_all(request.as_bytes()).is_err()
                        || !stream.read(&mut answer).is_ok_and(|it| it > 0)
                    {
                        return;
                    }
                }
            })
        })
        .collect();
    // The queue of the readers is full.
    wait_until("a reader to be refused", || web.status("/api/v1/instances/none") == 503);
    for _ in 0..10 {
        for path in ["/metrics", "/livez", "/readyz"] {
            assert_eq!(web.status(path), 200, "{path}");
        }
    }
    web.run.expect_stop();
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn many_readers_of_many_recent_lines_delay_no_restart() {
    let bed = Bed::with(&format!(
        "log_history_lines = 10000\n[[apps]]\nname = \"main\"\nautorestart = false\n\
         script = \"yes 0123456789012345678901234567890123456789 | head -n 9000\"\n{}",
        sleeper("api", "")
    ));
    let mut web = Web::start(&bed);
    web.run.wait_for_err("main (0) exited");
    web.run.wait_for_err("api (1) is online, pid");
    let mut readers: Vec<TcpStream> = (0..64).map(|_| web.connect()).collect();
    for reader in &mut readers {
        let _ = reader.write_all(
            b"GET /api/v1/logs?lines=10000&follow=false HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        );
    }
    assert_eq!(web.get("/livez").expect(200), "ok\n");
    send(web.run.children()[0].pid, SIGKILL);
    web.run.wait_for_err_lines("api (1) is online, pid", 2);
    let (mut complete, mut busy) = (0, 0);
    for mut reader in readers {
        let mut answer = String::new();
        reader.read_to_string(&mut answer).unwrap();
        if answer.starts_with("HTTP/1.1 503 ") {
            busy += 1;
            continue;
        }
        assert!(answer.contains("event: end"), "{}", &answer[answer.len().saturating_sub(500)..]);
        let sent = answer.lines().filter(|line| line.contains("\"text\":\"0123")).count();
        let missed = answer.lines().find_map(|line| line.strip_prefix("data: {\"missed\":"));
        let missed: usize = missed.map_or(0, |it| it.trim_end_matches('}').parse().unwrap());
        assert!(sent > 1000 && sent + missed >= 9000, "{sent} sent, {missed} missed");
        complete += 1;
    }
    assert!(complete > 0, "{complete} complete, {busy} busy");
    web.run.expect_stop();
}
