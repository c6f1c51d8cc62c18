//! Sockets across the runs of a worker: crashes, replacements and several instances lose no connection.

use std::{
    collections::HashSet,
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{Bed, SIGHUP, last_pid, wait_until};

use super::{ANY_PORT, SERVER, address, answer, app, connect, get, request, served_by, start};

#[test]
fn a_crash_keeps_the_port_and_waiting_clients_are_served_by_the_next_run() {
    let bed = served_by(SERVER, &format!("{ANY_PORT}\nrestart_delay = \"500ms\""));
    let mut run = start(&bed);
    let at = address(&run);
    // Also before it is up: an early client waits.
    let first = get(at, "/").unwrap();
    assert!(get(at, "/crash").is_err());
    run.wait_for_err("app (0) exited: code 7");
    let mut waiting: Vec<TcpStream> = (0..10).map(|_| connect(at).unwrap()).collect();
    for stream in &mut waiting {
        request(stream, "/").unwrap();
    }
    let answers: HashSet<String> = waiting.iter_mut().map(|stream| answer(stream).unwrap()).collect();
    assert_eq!(answers.len(), 1, "one process answers: {answers:?}");
    assert!(!answers.contains(&first));
    run.expect_stop();
    assert!(connect(at).is_err(), "the port is free at the end");
}

#[test]
fn no_request_fails_while_workers_are_replaced() {
    let keys = |letter: usize| app(&format!("{ANY_PORT}\nenv = {{ LETTER = \"{letter}\" }}"));
    let bed = Bed::with(&keys(0));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    let at = address(&run);
    run.wait_for_line("up 0 ");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = 0;
                    while !over.load(Ordering::Relaxed) {
                        get(at, "/").expect("every request is answered");
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        for letter in 1..=10 {
            bed.file("ecosystem.toml", keys(letter));
            run.signal(SIGHUP);
            run.wait_for_line(&format!("up {letter} "));
        }
        over.store(true, Ordering::Relaxed);
        let served: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(served >= 10, "{served} requests");
    });
    run.expect_stop();
}

#[test]
fn several_instances_accept_from_one_socket() {
    let bed = served_by(SERVER, &format!("{ANY_PORT}\ninstances = 2"));
    let mut run = start(&bed);
    let at = address(&run);
    let pids: HashSet<i32> = run.wait_for_lines("up", 2).iter().map(|line| last_pid(line)).collect();
    let mut held = connect(at).unwrap();
    request(&mut held, "/hold").unwrap();
    run.wait_for_line("holding");
    // One is busy, so the other takes them all.
    let others: HashSet<String> = (0..5).map(|_| get(at, "/").unwrap()).collect();
    bed.file("go", "");
    let busy = answer(&mut held).unwrap();
    assert!(others.len() == 1 && !others.contains(&busy), "{others:?} and {busy}");
    let all: HashSet<i32> = others.into_iter().chain([busy]).map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(all, pids);
    run.expect_stop();
}

#[test]
fn an_app_that_does_not_restart_closes_its_port() {
    let other = "[[apps]]\nname = \"other\"\nscript = \"sleep\"\nargs = \"1000\"\n";
    let keys = format!("{ANY_PORT}\nautorestart = false");
    let bed = Bed::with(&(app(&keys) + other));
    bed.file("app.py", SERVER);
    let mut run = start(&bed);
    let at = address(&run);
    assert!(get(at, "/crash").is_err());
    run.wait_for_err("app (0) exited: code 7");
    wait_until("the port to be closed", || connect(at).is_err());
    run.expect_stop();
}
