//! How connections are distributed over the workers.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{
    Bed, DEADLINE, SIGHUP, SIGKILL, send, wait_until,
    web::{fetch, get, port_of},
};

use super::{SERVER, app, worker_of};

#[test]
fn workers_that_share_the_socket_accept_what_a_busy_one_does_not() {
    let busy = SERVER.replace(
        "if (request.url === '/crash') process.exit(7);",
        "if (request.url === '/hold') { console.log('holding'); while (!require('fs').existsSync('go')); }",
    );
    let bed = Bed::with_files(&app("instances = 2\nbalance = \"shared\""), &[("app.js", &busy)]);
    let procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| get(port, "/hold").unwrap());
        procrun.wait_for_lines("holding", 1);
        let others: HashSet<String> = (0..5).map(|_| get(port, "/").unwrap()).collect();
        bed.file("go", "");
        let held = held.join().unwrap();
        assert_eq!(others.len(), 1);
        assert!(!others.contains(&held));
    });
}

/// Opens this number of connections one after the other, and returns how many each of the workers has.
fn connections_of(port: u16, count: usize) -> (Vec<TcpStream>, Vec<usize>) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let streams = (0..count).map(|_| {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        *counts.entry(worker_of(&stream)).or_default() += 1;
        stream
    });
    let streams = streams.collect();
    (streams, counts.into_values().collect())
}

/// Ends the clients, also when a test fails.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The short connections that a client thread opens at once. How fast single ones arrive depends on what else runs on
/// the machine; four times this number arrive fast on any.
const AT_ONCE: usize = 200;

/// Opens short connections, each with a request, then reads all answers. A worker has ended its connections by then:
/// none of them stays open.
fn short_connections(port: u16) -> io::Result<()> {
    let open = |_| -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        Ok(stream)
    };
    let streams: Vec<TcpStream> = (0..AT_ONCE).map(open).collect::<io::Result<_>>()?;
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    }
    Ok(())
}

/// Makes short connections from four threads until `enough`. None may fail.
#[track_caller]
fn short_connections_until(port: u16, what: &str, enough: impl FnMut() -> bool) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _finish = Finish(&done);
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    short_connections(port).unwrap();
                }
            });
        }
        wait_until(what, enough);
    });
}

const ALONE: &str = "accepts them itself";

const HANDED: &str = "gets its connections from procrun again";

#[test]
fn a_few_connections_that_stay_open_are_spread_evenly_by_default() {
    let bed = Bed::with_files(&app("instances = 2"), &[("app.js", SERVER)]);
    let mut procrun = bed.start_with_debug_log();
    let (_streams, counts) = connections_of(port_of(&procrun, 2), 8);
    assert_eq!(counts, [4, 4]);
    procrun.expect_stop();
}

#[test]
fn workers_accept_fast_short_connections_themselves_and_then_share_evenly_again() {
    let bed = Bed::with_files(&app("instances = 2\nmin_uptime = 0"), &[("app.js", SERVER)]);
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2);
    short_connections_until(port, "the workers to accept", || procrun.err().lines_with(ALONE).len() >= 2);
    procrun.wait_for_err_lines(HANDED, 2);
    let (streams, counts) = connections_of(port, 8);
    assert_eq!(counts, [4, 4]);
    drop(streams);

    // A reload in the middle of it loses nothing, and the new workers take over.
    let mut asked = false;
    short_connections_until(port, "the reload", || {
        let told = procrun.err().lines_with(ALONE).len();
        if told >= 4 && !std::mem::replace(&mut asked, true) {
            bed.file("ecosystem.toml", app("instances = 2\nmin_uptime = 0\nenv = { ROUND = \"1\" }"));
            procrun.signal(SIGHUP);
        }
        !procrun.err().lines_with("app is reloaded: 2 processes").is_empty()
    });
    procrun.expect_stop();
    assert!(procrun.err().lines_with("ignored").is_empty(), "{}", procrun.story());
}

#[test]
fn connections_that_arrive_fast_and_stay_open_are_handed_out_too() {
    let bed = Bed::with_files(&app("instances = 2"), &[("app.js", SERVER)]);
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2);
    // Twice as many as the burst after which the workers are told to accept.
    let streams: Vec<TcpStream> =
        (0..850).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for stream in &streams {
        *counts.entry(worker_of(stream)).or_default() += 1;
    }
    // A worker that is slow to take its connections is passed over, on a busy machine often. Without handing out, the
    // first worker would take nearly all.
    assert!(counts.len() == 2 && counts.values().all(|count| *count >= 170), "{counts:?}");
    drop(streams);
    procrun.expect_stop();
}

/// Sends a request from this address of the loopback network.
fn get_from(address: &str, port: u16) -> String {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from: SocketAddr = format!("{address}:0").parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    fetch(&mut stream, "/").unwrap()
}

#[test]
fn a_client_stays_with_its_worker_and_gets_it_back_after_a_crash() {
    let bed =
        Bed::with_files(&app("instances = 4\nbalance = \"sticky\"\nmin_uptime = 0"), &[("app.js", SERVER)]);
    let mut procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 4);
    let all =
        || -> Vec<String> { (1..=20).map(|number| get_from(&format!("127.0.0.{number}"), port)).collect() };
    let first = all();
    assert_eq!(all(), first);
    let workers: HashSet<&String> = first.iter().collect();
    assert!(workers.len() > 1, "{first:?}");

    send(first[0].parse().unwrap(), SIGKILL);
    procrun.wait_for_lines("listening on", 5);
    procrun.wait_for_err_lines("listens on", 5);
    let after = all();
    let next = &after[0];
    for (before, after) in first.iter().zip(&after) {
        assert_eq!(after, if *before == first[0] { next } else { before });
    }
    procrun.expect_stop();
}

#[test]
fn a_refused_connection_goes_to_another_worker_and_then_ends() {
    let script = SERVER.replace("server.listen(", "server.maxConnections = 1; server.listen(");
    let bed = Bed::with_files(&app("instances = 2\nbalance = \"round-robin\""), &[("app.js", &script)]);
    let procrun = bed.start_with_debug_log();
    let port = port_of(&procrun, 2);
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut kept = Vec::new();
    let pids: HashSet<String> = (0..2)
        .map(|_| {
            let stream = connect();
            let pid = worker_of(&stream);
            kept.push(stream);
            pid
        })
        .collect();
    assert_eq!(pids.len(), 2, "the second did not fit in the first worker");
    let mut third = connect();
    third.set_read_timeout(Some(DEADLINE)).unwrap();
    let end = third.read(&mut [0; 16]);
    assert!(matches!(end, Ok(0)), "no worker accepts it: {end:?}");
}
