//! Clusters of common frameworks: Express, Fastify and WebSocket servers from npm, HTTP/2, and plain servers under a
//! load of which each error is checked. NestJS is in `nest.rs`, Next.js in `next.rs`.

use std::{
    collections::{HashMap, HashSet},
    net::TcpStream,
    os::unix::fs::symlink,
};

use crate::support::{
    Bed, DEADLINE, SIGHUP,
    load::under_load,
    tool, wait_until,
    web::{Client, fetch, fixture, get, number_after, port_of, prepared_file},
};

const BALANCES: [&str; 3] = ["auto", "round-robin", "shared"];

/// A bed with a fixture as its one application, and what it needs of npm.
fn bed_of(script: &str, keys: &str) -> Bed {
    let bed = Bed::with(&ecosystem(script, keys));
    bed.file(script, fixture(script));
    symlink(prepared_file("apps/node_modules"), bed.path("node_modules")).unwrap();
    bed
}

fn ecosystem(script: &str, keys: &str) -> String {
    format!("[[apps]]\nname = \"app\"\nscript = \"{script}\"\nmin_uptime = 0\n{keys}\n")
}

/// Two workers share a port, each answers every second connection, and none is reported.
#[track_caller]
fn serves_by_round_robin(script: &str) {
    let bed = bed_of(script, "instances = 2\nbalance = \"round-robin\"");
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2);
    let mut answers: HashMap<String, usize> = HashMap::new();
    for _ in 0..20 {
        *answers.entry(get(port, "/").unwrap()).or_default() += 1;
    }
    assert_eq!(answers.values().copied().collect::<Vec<_>>(), [10, 10], "{answers:?}");
    procrun.expect_stop();
    assert!(procrun.err().lines_with("ignored").is_empty(), "{}", procrun.story());
}

#[test]
fn express_serves_by_round_robin() {
    serves_by_round_robin("express.js");
}

/// How the sessions of eight Socket.IO clients went, each with an address of its own.
fn socket_io_sessions(balance: &str) -> Vec<String> {
    let bed = bed_of("socket-io.js", &format!("instances = 3\nbalance = \"{balance}\""));
    bed.file("socket-io-client.js", fixture("socket-io-client.js"));
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 3);
    let clients = tool("node", &["socket-io-client.js", &port.to_string()], bed.root());
    let printed = String::from_utf8_lossy(&clients.stdout).into_owned();
    procrun.expect_stop();
    let sessions: Vec<String> = printed.lines().map(str::to_owned).collect();
    assert_eq!(sessions.len(), 8, "{printed}{}", String::from_utf8_lossy(&clients.stderr));
    sessions
}

/// HTTP long-polling is many connections for one session.
#[test]
fn socket_io_keeps_its_sessions_with_sticky_and_loses_them_without() {
    let sessions = socket_io_sessions("sticky");
    let workers: HashSet<&str> = sessions
        .iter()
        .map(|session| match session.split_whitespace().collect::<Vec<_>>()[..] {
            ["workers", worker] => worker,
            _ => panic!("a session is not with one worker: {sessions:?}"),
        })
        .collect();
    assert!(workers.len() > 1, "all clients are with one worker: {sessions:?}");

    let sessions = socket_io_sessions("round-robin");
    assert!(sessions.iter().any(|session| session.starts_with("error")), "{sessions:?}");
}

#[test]
fn fastify_serves_by_round_robin() {
    serves_by_round_robin("fastify.mjs");
}

#[test]
fn websockets_of_another_worker_survive_a_crash() {
    let bed = bed_of("websocket.js", "instances = 2\nbalance = \"round-robin\"");
    bed.file("client.js", fixture("websocket-client.js"));
    let procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2).to_string();
    let said = tool("node", &["client.js", &port], bed.root());
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        "others 3 of which answer 3\nits own that answer 0\nnew ones that answer 2\n",
        "{said:?}"
    );
    procrun.wait_for_err_lines("exited: code 7", 1);
}

#[test]
fn a_session_of_http2_stays_with_its_worker() {
    let bed = bed_of("http2.mjs", "instances = 2\nbalance = \"round-robin\"");
    bed.file("client.mjs", fixture("http2-client.mjs"));
    let procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2).to_string();
    let said = tool("node", &["client.mjs", &port], bed.root());
    assert_eq!(String::from_utf8_lossy(&said.stdout), "workers 2 in one session 1\n", "{said:?}");
}

#[test]
fn a_crash_under_load_costs_only_what_the_worker_held() {
    for balance in BALANCES {
        let bed = bed_of("load.js", &format!("instances = 2\nbalance = \"{balance}\""));
        let procrun = bed.start_with_debug_log();
        let port = port_of(&procrun, 2);
        let mut crashing = Vec::new();
        let load = under_load(port, "/", false, |requests| {
            for count in 1..=4 {
                requests.wait_for_more(50);
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                crashing.push(stream.local_addr().unwrap().port());
                assert!(fetch(&mut stream, "/crash").is_err());
                procrun.wait_for_err_lines("exited: code 7", count);
                procrun.wait_for_lines("listening on", 2 + count);
            }
        });
        // The worker of the connection from this port, and of an earlier one.
        let held_by = |port: u16| -> HashSet<i32> {
            let lines = procrun.wait_for_lines(&format!("took {port} as"), 1);
            lines.iter().map(|line| number_after(line, " as")).collect()
        };
        let crashed: HashSet<i32> = crashing.into_iter().flat_map(held_by).collect();
        for (port, error) in load.errors {
            assert_ne!(port, 0, "{balance}: {error}{}", procrun.story());
            assert!(!held_by(port).is_disjoint(&crashed), "{balance}: {port}: {error}{}", procrun.story());
        }
    }
}

#[test]
fn a_crash_leaves_the_open_connections_of_others_alone() {
    for balance in BALANCES {
        let bed = bed_of("load.js", &format!("instances = 2\nbalance = \"{balance}\""));
        let procrun = bed.start_with_debug_log();
        let port = port_of(&procrun, 2);
        let mut kept: Vec<(Client, String)> = Vec::new();
        // With a shared socket the kernel chooses the worker: until both have two.
        wait_until("connections to both workers", || {
            let mut client = Client::connect(port).unwrap();
            let pid = client.request("/").unwrap().body;
            kept.push((client, pid));
            let first = &kept[0].1;
            let of_first = kept.iter().filter(|(_, pid)| pid == first).count();
            of_first >= 2 && kept.len() - of_first >= 2
        });
        let (mut first, crashes) = kept.remove(0);
        first.send("/crash", "").unwrap();
        procrun.wait_for_err_lines("exited: code 7", 1);
        for (mut client, pid) in kept {
            let answer = client.request("/").ok().map(|answer| answer.body);
            let expected = (pid != crashes).then_some(pid);
            assert_eq!(answer, expected, "{balance}");
        }
    }
}

#[test]
fn the_number_of_workers_changes_under_load_and_nothing_fails() {
    for balance in BALANCES {
        let keys = |instances: usize| format!("instances = {instances}\nbalance = \"{balance}\"");
        let bed = bed_of("load.js", &keys(1));
        let procrun = bed.start_with_debug_log();
        let port = port_of(&procrun, 1);
        let load = under_load(port, "/", false, |requests| {
            let (mut started, mut ended) = (1, 0);
            for (before, after) in [(1, 4), (4, 2), (2, 3), (3, 1), (1, 2)] {
                bed.file("ecosystem.toml", ecosystem("load.js", &keys(after)));
                procrun.signal(SIGHUP);
                started += after.saturating_sub(before);
                ended += before.saturating_sub(after);
                procrun.wait_for_lines("listening on", started);
                procrun.wait_for_err_lines("exited: code 0", ended);
                requests.wait_for_more(50);
            }
        });
        assert!(load.errors.is_empty(), "{balance}: {load:?}{}", procrun.story());
    }
}

#[test]
fn a_connection_waits_for_a_descriptor_and_not_for_another_connection() {
    let bed = bed_of("load.js", "instances = 1\nbalance = \"round-robin\"");
    let procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 1);
    let pid = procrun.pid().to_string();
    let limit = |count: &str| {
        let done = tool("prlimit", &["--pid", &pid, &format!("--nofile={count}")], bed.root());
        assert!(done.status.success(), "{done:?}");
    };
    limit("3:4096");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    procrun.wait_for_err_lines("cannot accept connections to app", 1);
    limit("1024:4096");
    fetch(&mut stream, "/").unwrap();
}
